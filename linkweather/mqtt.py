"""One lasting MQTT 5 connection: it reconnects, subscribes again and passes every message to one handler."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from linkweather.backoff import Backoff
from linkweather.broker import Broker
from linkweather.containment import contained

log = logging.getLogger(__name__)

MAX_INFLIGHT = 200
# At most, beside topic and payload: type, lengths, packet identifier, no properties (MQTT 5 §3.3).
HEADER_BYTES = 16
_CONNECT_LIMIT_S = 5.0
_ABANDON_LIMIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when this connection is lost."""

    topic: str
    payload: bytes


class _Client(aiomqtt.Client):
    """A client that keeps to the limits which the broker names as it accepts the connection (MQTT 5 §3.2.2.3)."""

    max_packet_bytes: int | None = None

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


class Connection:
    """A connection that `run` maintains. `handle(topic, payload)` gets every message and must return quickly.

    `on_connect`, when given, is called after each (re)connection, once subscribed. `rng` spreads the reconnections of
    many clients over time.

    A client that connects under another one's name ends the other's connection: `step_back` leaves it to the other.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        *,
        subscriptions: Sequence[str],
        handle: Callable[[str, bytes], None],
        on_connect: Callable[[], None] = lambda: None,
        will: Will | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._subscriptions = subscriptions
        self._handle = handle
        self._on_connect = on_connect
        self._will = will
        self._backoff = Backoff(rng=rng)
        self._client: _Client | None = None
        self._pause_s: float | None = None
        self._address: tuple[str, int] | None = None
        self.last_error = ""
        # Topic → messages that were larger than the broker takes.
        self.oversized: Counter[str] = Counter()

    @property
    def connected(self) -> bool:
        """Whether the connection is up now."""
        return self._client is not None

    @property
    def max_packet_bytes(self) -> int | None:
        """The longest packet that the broker takes, of topic, payload and HEADER_BYTES; None is any."""
        return self._client.max_packet_bytes if self._client else None

    async def run(self) -> None:
        """Stay connected until cancelled; retry a broker that does not answer at growing intervals."""
        while True:
            try:
                await self._session()
            except aiomqtt.MqttError as error:
                _raise_cancellation()
                if self._client is not None:
                    self._backoff.reset()
                    self._report(self._lost())
                else:
                    self._report(_sentence(self._broker, error))
                self._client = None
            finally:
                self._client = None
            await asyncio.sleep(self._next_s())

    def step_back(self, pause_s: float) -> None:
        """End this connection, in whose handler this is called, and make the next one after so long."""
        self._pause_s = pause_s

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Publish with QoS 1; true once the broker has acknowledged it, false without a connection.

        False also for what is larger than the broker takes, which would end the connection.
        """
        client = self._client
        if client is None or self._is_oversized(topic, payload):
            return False
        try:
            await client.publish(topic, payload, qos=1, retain=retain)
        except aiomqtt.MqttError:
            _raise_cancellation()
            return False
        _raise_cancellation()
        return True

    async def _session(self) -> None:
        will = aiomqtt.Will(self._will.topic, self._will.payload, qos=1, retain=True) if self._will else None
        client = _Client(
            self._broker.host,
            self._broker.port or 1883,
            transport="unix" if self._broker.scheme == "unix" else "tcp",
            protocol=aiomqtt.ProtocolVersion.V5,
            identifier=self._client_id,
            username=self._broker.username,
            password=self._broker.password,
            # Delivery is acknowledged end to end, by `committed`: a broker need not keep a session for us.
            clean_start=True,
            will=will,
            max_inflight_messages=MAX_INFLIGHT,
            tls_context=ssl.create_default_context() if self._broker.scheme == "mqtts" else None,
        )
        client.open_by(self._open)
        async with client:
            client.pending_calls_threshold = MAX_INFLIGHT
            if self._subscriptions:
                await client.subscribe([(topic, 1) for topic in self._subscriptions])
            _raise_cancellation()
            self._client = client
            self._report("")
            with contained("connection"):
                self._on_connect()
            # The only reader of this iterator: cancelling a read loses the message it popped.
            async for message in client.messages:
                with contained("message"):
                    self._handle(message.topic.value, message.payload)
                if self._pause_s is not None:
                    return

    def _open(self) -> socket.socket:
        """Connect to the broker, at the last known address of a name that does not resolve. In a thread of its own."""
        try:
            opened = socket.create_connection((self._broker.host, self._broker.port), _CONNECT_LIMIT_S)
        except socket.gaierror:
            if self._address is None:
                raise
            opened = socket.create_connection(self._address, _CONNECT_LIMIT_S)
        self._address = opened.getpeername()[:2]
        return opened

    def _next_s(self) -> float:
        pause_s, self._pause_s = self._pause_s, None
        return self._backoff.next_s() if pause_s is None else pause_s

    def _is_oversized(self, topic: str, payload: bytes) -> bool:
        size, limit = len(topic.encode()) + len(payload) + HEADER_BYTES, self.max_packet_bytes
        if limit is None or size <= limit:
            return False
        if not self.oversized[topic]:
            log.error(
                "%s: %d bytes, and the broker %s takes packets of %d at most: raise its limit (mosquitto: "
                "max_packet_size)",
                topic,
                size,
                self._broker,
                limit,
            )
        self.oversized[topic] += 1
        return True

    def _lost(self) -> str:
        # A broker that shuts down closes the connection in the same way: paho does not tell the two apart.
        return (
            f"the broker {self._broker} closed the connection: "
            f"if it does so again and again, another client uses the name {self._client_id}, too"
        )

    def _report(self, sentence: str) -> None:
        if sentence == self.last_error and sentence:
            return  # said already
        if sentence:
            log.warning("%s; trying again until it answers", sentence)
        else:
            log.info("connected to the broker %s", self._broker)
        self.last_error = sentence


def _raise_cancellation() -> None:
    """Raise the cancellation that aiomqtt has swallowed.

    aiomqtt awaits replies with `asyncio.wait_for`, which in Python 3.11 returns the reply and drops the cancellation
    when both arrive at once; an error while disconnecting hides one as well.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _sentence(broker: Broker, error: aiomqtt.MqttError) -> str:
    text = str(error)
    if "ot authorized" in text or "ad user name" in text:
        return f"the broker {broker} refuses us ({text}): check the user name and password in its URL"
    return f"the broker {broker} is away ({text})"
