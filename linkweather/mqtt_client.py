"""aiomqtt's client, held to the broker's limits and to ours: what it refuses is an error, what comes in is bounded.

A room of its own: everything here is about aiomqtt and paho, and overrides what they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any, Self

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from linkweather.containment import note_overflow

MAX_INFLIGHT = 200
MAX_WAITING_BYTES = 64_000_000
MESSAGE_BYTES = 1000  # what a message holds beside its payload
CLOSED = "it closed the connection as it was made"
ENDED = "the connection ended before this was acknowledged"
_ABANDON_LIMIT_S = 1.0


class RefusedError(aiomqtt.MqttError):
    """The broker answered a publication with a failure."""


class MessageQueue(asyncio.Queue[aiomqtt.Message]):
    """What came and is not handled yet, bounded by its octets: a flood is read faster than it is handled."""

    _waiting_bytes = 0

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """Queue a message; what there is no room for is dropped and counted: whoever needs it says it again."""
        if self._waiting_bytes + _size(item) > MAX_WAITING_BYTES:
            note_overflow("mqtt messages")
        else:
            super().put_nowait(item)

    def _put(self, item: aiomqtt.Message) -> None:
        self._waiting_bytes += _size(item)
        super()._put(item)

    def _get(self) -> aiomqtt.Message:
        item = super()._get()
        self._waiting_bytes -= _size(item)
        return item


class MqttClient(aiomqtt.Client):
    """A client that keeps to the limits which the broker names as it accepts the connection (MQTT 5 §3.2.2.3).

    A publication that the broker refuses raises RefusedError: aiomqtt takes it for one that arrived (§3.4.2.1). One
    that waits for its acknowledgement as the connection ends raises MqttError at once: aiomqtt waits on, for 10 s.
    """

    max_packet_bytes: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, queue_type=MessageQueue, **kwargs)
        self._refusals: dict[int, str] = {}  # packet identifier → reason
        self._unacknowledged: set[int] = set()  # as the connection ended
        self._disconnected.add_done_callback(self._end_publications)

    def waiting(self, first: aiomqtt.Message) -> Iterator[aiomqtt.Message]:
        """This message and those that came since: aiomqtt takes several turns of the loop for each, and reads more."""
        yield first
        for _ in range(self._queue.qsize()):
            yield self._queue.get_nowait()

    @contextlib.contextmanager
    def _pending_call(self, mid: int, value: Any, pending_dict: dict[int, Any]) -> Iterator[None]:
        # aiomqtt goes over all calls under way at each, twice: hundreds of receipts are, of a large mesh.
        pending_dict[mid] = value
        try:
            yield
        finally:
            pending_dict.pop(mid, None)
            refusal = self._refusals.pop(mid, None)
        if refusal is not None:
            raise RefusedError(refusal)
        if mid in self._unacknowledged:
            raise aiomqtt.MqttError(ENDED)

    def _end_publications(self, _disconnected: object) -> None:
        self._unacknowledged = set(self._pending_publishes)
        for confirmation in self._pending_publishes.values():
            confirmation.set()

    def _on_publish(
        self,
        client: paho.Client,
        userdata: object,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        if reason_code.is_failure and mid in self._pending_publishes:
            self._refusals[mid] = str(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _on_disconnect(self, client: paho.Client, *args: Any, **kwargs: Any) -> None:
        """Fail at once where the broker ends a connection before it accepts it: aiomqtt would wait on."""
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(CLOSED))
        super()._on_disconnect(client, *args, **kwargs)

    def _on_socket_register_write(self, client: paho.Client, userdata: object, sock: socket.socket) -> None:
        """Write when the socket takes more; aiomqtt does not ask whether it was closed meanwhile."""
        del userdata

        def write() -> None:
            try:
                client.loop_write()
            except Exception as error:  # noqa: BLE001 - as aiomqtt: the connection broke
                if not self._disconnected.done():
                    self._disconnected.set_exception(error)

        def add() -> None:
            if sock.fileno() >= 0:
                self._loop.add_writer(sock.fileno(), write)

        self._loop.call_soon_threadsafe(add)

    async def __aenter__(self) -> Self:
        """Connect. Cancelled meanwhile, end what has begun: aiomqtt leaves its socket and a task to the collector."""
        entering = asyncio.create_task(super().__aenter__(), name="connecting")
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError:
            await asyncio.wait([entering], timeout=_ABANDON_LIMIT_S)
            if entering.cancel() or entering.exception() is not None:
                raise
            with contextlib.suppress(aiomqtt.MqttError):
                await self.__aexit__(None, None, None)
            raise

    def open_by(self, open_socket: Callable[[], socket.socket]) -> None:
        """Connect by TCP in this way; the name for TLS stays the broker's."""
        self._client._create_socket_connection = open_socket  # type: ignore[method-assign]  # noqa: SLF001 - no other way in

    def _on_connect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
        inflight = min(MAX_INFLIGHT, getattr(properties, "ReceiveMaximum", MAX_INFLIGHT))
        client._max_inflight_messages = inflight  # noqa: SLF001 - paho ignores it, and its setter refuses by now
        super()._on_connect(client, userdata, flags, reason_code, properties)


def _size(message: aiomqtt.Message) -> int:
    payload = message.payload
    return MESSAGE_BYTES + (len(payload) if isinstance(payload, bytes | bytearray | str) else 0)
