"""The sink `mqtt`: rows again, each as one JSON object on the topic `prefix/kind/src/dst`, with QoS 1.

A capacity row's topic ends in site and type. Each batch has a connection of its own: a broker keeps no session for
it, and a sink that waits for rows has nothing to keep alive. What the broker acknowledged comes again after a crash:
site, boot, seq and the topic say which row it is. paho is used directly, as aiomqtt takes a refused publication (MQTT 5
§3.4.2.1) for one that arrived.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from collector.sinks.builtin import MqttSettings
from linkweather.broker import Broker
from linkweather.broker_access import password, tls_context
from linkweather.errors import OperatorError
from linkweather.sink import ExportedRow, RowBatch, RowRefusal, SinkAwayError, SinkSetupError
from linkweather.wire import Row

MAX_INFLIGHT = 100
_LOOP_S = 0.1
_MAX_TOPIC_BYTES = 65_535  # MQTT 5 §1.5.4
_HEADER_BYTES = 16  # at most, beside topic and payload: type, lengths, packet identifier, no properties
# Reason codes, MQTT 5 §2.4.
_FAILURE = 0x80
_NOT_ALLOWED = frozenset({0x86, 0x87, 0x8C})  # bad user name or password, not authorized, bad authentication method
_ABOUT_THE_MESSAGE = frozenset({0x90, 0x95, 0x99})  # its topic, size or payload
# What a topic's level cannot hold.
_LEVEL = str.maketrans(dict.fromkeys("/+#\0", "_"))


class MqttSink:
    """Publishes batches."""

    def __init__(self, settings: MqttSettings, broker: Broker) -> None:
        self._settings = settings
        self._broker = broker
        self._closed = threading.Event()

    def write(self, batch: RowBatch) -> list[RowRefusal]:
        """Publish each row. Raises SinkAwayError and SinkSetupError."""
        rows = batch.rows()
        session = _Session(self._broker, self._settings.timeout_s, self._closed)
        try:
            session.open()
            refused = session.publish([(topic(self._settings.prefix, batch.kind, row), payload(row)) for row in rows])
        except OSError as error:
            raise SinkAwayError(f"the broker {self._broker} is away ({error})") from None
        finally:
            session.close()
        return [RowRefusal(rows[place].number, rows[place].number, 1, reason) for place, reason in refused]

    def close(self) -> None:
        """Nothing is held open; a write that waits for the broker ends."""
        self._closed.set()


def topic(prefix: str, kind: str, row: ExportedRow) -> str:
    """Where a row is published."""
    levels = (row.row.src, row.row.dst) if isinstance(row.row, Row) else (row.site, row.row.type)
    return "/".join([prefix, kind, *(level.translate(_LEVEL) for level in levels)])


def payload(row: ExportedRow) -> bytes:
    """A row as JSON; a field that was not set is absent."""
    values: dict[str, Any] = {
        "site": row.site,
        "boot": row.boot,
        "seq": row.seq,
        "at": row.at.isoformat(),
        "received_at": row.received_at.isoformat(),
        **row.row.model_dump(mode="json", exclude_none=True),
    }
    if row.path_fingerprint is not None:
        values["path_fingerprint"] = row.path_fingerprint
    return json.dumps(values, ensure_ascii=False).encode()


class _Session:
    """One connection, driven by the thread that calls."""

    def __init__(self, broker: Broker, timeout_s: float, closed: threading.Event) -> None:
        self._broker = broker
        self._closed = closed
        self._timeout_s = timeout_s
        transport: Any = "unix" if broker.scheme == "unix" else "tcp"
        # Without a name of its own, as MQTT 5 allows: two collectors may use one prefix.
        client = paho.Client(CallbackAPIVersion.VERSION2, "", protocol=paho.MQTTv5, transport=transport)
        client.max_inflight_messages_set(MAX_INFLIGHT)
        try:
            client.username_pw_set(broker.username, password(broker))
            if context := tls_context(broker):
                client.tls_set_context(context)
        except OperatorError as error:
            raise SinkSetupError(str(error)) from None
        client.connect_timeout = timeout_s
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        self._client = client
        self._connected: int | None = None  # the reason code
        self._max_bytes = 2**28
        self._answers: dict[int, tuple[int, str]] = {}  # packet identifier → reason code, its name

    def open(self) -> None:
        """Connect. Raises OSError, SinkAwayError, SinkSetupError."""
        self._client.connect(self._broker.host, self._broker.port or 1883, clean_start=True)
        self._drive(lambda: int(self._connected is not None), 1)
        self._check(self._connected or 0, f"refuses us (reason code {self._connected})", "refuses us")

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> list[tuple[int, str]]:
        """Publish all; returns the places of those that can never be, with reasons.

        The first goes alone: a broker that forbids it answers so and closes, and its answer is lost where more come.
        """
        places = range(len(messages))
        return self._send(messages, places[:1]) + self._send(messages, places[1:])

    def _send(self, messages: Sequence[tuple[str, bytes]], places: Sequence[int]) -> list[tuple[int, str]]:
        refused, sent = [], {}
        for place in places:
            name, body = messages[place]
            size = len(name.encode()) + len(body) + _HEADER_BYTES
            if len(name.encode()) > _MAX_TOPIC_BYTES:
                refused.append((place, f"{name[:80]!r} is no topic"))
            elif size > self._max_bytes:
                refused.append((place, f"{size} bytes: the broker takes packets of {self._max_bytes} at most"))
            else:
                sent[self._client.publish(name, body, qos=1).mid] = place
        self._answers.clear()
        self._drive(lambda: len(self._answers), len(sent))
        for identifier, (code, reason) in self._answers.items():
            name = messages[sent[identifier]][0]
            if code in _ABOUT_THE_MESSAGE:
                refused.append((sent[identifier], reason))
            else:
                self._check(code, f"takes no {name} now ({reason})", f"does not let us publish {name}")
        return refused

    def _check(self, code: int, away: str, setup: str) -> None:
        if code in _NOT_ALLOWED:
            raise SinkSetupError(f"the broker {self._broker} {setup}: check user name, password and the user's rights")
        if code >= _FAILURE:
            raise SinkAwayError(f"the broker {self._broker} {away}")

    def close(self) -> None:
        """Say goodbye, if anybody is there."""
        self._client.disconnect()

    def _drive(self, done: Any, wanted: int) -> None:
        """Move bytes until `done` counts up to `wanted`; raises SinkAwayError after `timeout_s` without progress."""
        progress, since = done(), time.monotonic()
        while progress < wanted:
            ended = self._client.loop(_LOOP_S) != paho.MQTT_ERR_SUCCESS
            if self._closed.is_set():
                raise SinkAwayError("the collector ends")
            if ended and done() < wanted:  # a broker that refuses us says so, and closes
                raise SinkAwayError(f"the broker {self._broker} closed the connection")
            if done() > progress:
                progress, since = done(), time.monotonic()
            elif time.monotonic() - since > self._timeout_s:
                raise SinkAwayError(f"the broker {self._broker} has not answered for {self._timeout_s:g} s")

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: Any, properties: Any) -> None:
        self._connected = code.value
        self._max_bytes = getattr(properties, "MaximumPacketSize", self._max_bytes)

    def _on_publish(self, _client: Any, _data: Any, identifier: int, code: Any, _properties: Any) -> None:
        self._answers[identifier] = code.value, code.getName()
