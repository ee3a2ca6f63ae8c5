"""One lasting MQTT 5 connection: it reconnects, subscribes again and passes every message to one handler."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from linkweather.backoff import Backoff
from linkweather.broker import Broker
from linkweather.broker_access import password, tls_context
from linkweather.containment import contained
from linkweather.errors import OperatorError
from linkweather.mqtt_client import CLOSED, MAX_INFLIGHT, MqttClient, RefusedError
from linkweather.mqtt_refusals import BrokerRefusals

log = logging.getLogger(__name__)

# At most, beside topic and payload: type, lengths, packet identifier, no properties (MQTT 5 §3.3).
HEADER_BYTES = 16
SUBSCRIPTIONS_A_PACKET = 500
MOST_PACKET_BYTES = 16_000_000
_CONNECT_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when this connection is lost."""

    topic: str
    payload: bytes


class Connection:
    """A connection that `run` maintains. `handle(topic, payload)` gets every message and must return quickly.

    `subscriptions` are topic filters, or give them at each connection. `on_connect`, when given, is called after each
    (re)connection, once subscribed. `rng` spreads the reconnections of many clients over time.

    A client that connects under another one's name ends the other's connection: `step_back` leaves it to the other.
    Raises OperatorError: a certificate or password that cannot be read. Both are read anew for each connection.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        *,
        subscriptions: Sequence[str] | Callable[[], Sequence[str]],
        handle: Callable[[str, bytes], None],
        on_connect: Callable[[], None] = lambda: None,
        will: Will | None = None,
        rng: random.Random | None = None,
    ) -> None:
        tls_context(broker), password(broker)
        self._broker = broker
        self._client_id = client_id
        self._subscriptions = subscriptions
        self._handle = handle
        self._on_connect = on_connect
        self._will = will
        self._backoff = Backoff(rng=rng)
        self._client: MqttClient | None = None
        self._subscribed: Sequence[str] = ()
        self._pause_s: float | None = None
        self._session_limit = asyncio.timeout(None)
        self._address: tuple[str, int] | None = None
        self.last_error = ""
        self.retained = False  # whether the broker had kept the message that is being handled
        self.refusals = BrokerRefusals(f"the broker {broker}")

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
                async with asyncio.timeout(None) as self._session_limit:
                    await self._session()
            except OperatorError as error:
                self._report(str(error))
            except TimeoutError:
                if not self._session_limit.expired():
                    raise
                self._pause_s = 0.0
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

    def reconnect(self) -> None:
        """End this connection and make the next one at once, with the certificates and the password of now."""
        if self._client is not None and self._session_limit.when() is None:
            self._session_limit.reschedule(asyncio.get_running_loop().time())

    def step_back(self, pause_s: float) -> None:
        """End this connection, in whose handler this is called, and make the next one after so long."""
        self._pause_s = pause_s

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Publish with QoS 1; true once the broker has taken it, false without a connection.

        False also for what the broker refuses, and for what is larger than it takes, which would end the connection:
        both are counted, and said once. What it refused is not sent for a while, as some brokers close the connection.
        """
        client = self._client
        size = len(topic.encode()) + len(payload) + HEADER_BYTES
        if client is None or not self.refusals.may_publish(topic, size, client.max_packet_bytes, time.monotonic()):
            return False
        try:
            await client.publish(topic, payload, qos=1, retain=retain)
        except aiomqtt.MqttError as error:
            _raise_cancellation()
            if isinstance(error, RefusedError):
                self.refusals.publication_refused(topic, str(error), time.monotonic())
            return False
        _raise_cancellation()
        self.refusals.published(topic)
        return True

    async def subscribe_again(self) -> None:
        """Follow `subscriptions` where they have changed; without a connection the next one does."""
        client, subscribed = self._client, self._subscribed
        if client is None:
            return
        wanted = self._wanted()
        with contextlib.suppress(aiomqtt.MqttError):
            if gone := [topic for topic in subscribed if topic not in set(wanted)]:
                await client.unsubscribe(gone)
            await self._subscribe(client, [topic for topic in wanted if topic not in set(subscribed)])
            self._subscribed = wanted
        _raise_cancellation()

    def _wanted(self) -> Sequence[str]:
        return self._subscriptions() if callable(self._subscriptions) else self._subscriptions

    async def _subscribe(self, client: aiomqtt.Client, wanted: Sequence[str]) -> None:
        for start in range(0, len(wanted), SUBSCRIPTIONS_A_PACKET):
            some = wanted[start : start + SUBSCRIPTIONS_A_PACKET]
            codes = await client.subscribe([(topic, 1) for topic in some])
            _raise_cancellation()
            self.refusals.subscribed(some, codes)

    async def _session(self) -> None:
        will = aiomqtt.Will(self._will.topic, self._will.payload, qos=1, retain=True) if self._will else None
        # No longer message comes to us, whatever the broker takes (MQTT 5 §3.1.2.11.4): it is dropped there.
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MOST_PACKET_BYTES
        client = MqttClient(
            self._broker.host,
            self._broker.port or 1883,
            transport="unix" if self._broker.scheme == "unix" else "tcp",
            protocol=aiomqtt.ProtocolVersion.V5,
            identifier=self._client_id,
            username=self._broker.username,
            password=password(self._broker),
            # Delivery is acknowledged end to end, by `committed`: a broker need not keep a session for us.
            clean_start=True,
            will=will,
            max_inflight_messages=MAX_INFLIGHT,
            properties=properties,
            tls_context=tls_context(self._broker),
        )
        client.open_by(self._open)
        async with client:
            self.refusals.connected()
            self._subscribed = self._wanted()
            await self._subscribe(client, self._subscribed)
            self._client = client
            self._report("")
            with contained("connection"):
                self._on_connect()
            # The only reader of this iterator: cancelling a read loses the message it popped.
            async for first in client.messages:
                for message in client.waiting(first):
                    self.retained = message.retain
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

    def _lost(self) -> str:
        # A broker that shuts down closes the connection in the same way: paho does not tell the two apart.
        return (
            f"the broker {self._broker} closed the connection: "
            "if it does so again and again, another client uses our name, too"
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
        what = "check our user name and password, or certificate; one that is new there takes a reload of the broker"
        return f"the broker {broker} refuses us ({text}): {what}"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"the broker {broker} has no certificate that we trust ({text}): check ca_file, and the name in its URL"
    if text == CLOSED and broker.scheme == "mqtts":
        return f"the broker {broker} refuses us ({text}): is our certificate one of its authority, and not revoked?"
    return f"the broker {broker} is away ({text})"
