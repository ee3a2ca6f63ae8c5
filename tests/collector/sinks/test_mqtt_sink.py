from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from collector.sinks.builtin import MqttSettings
from collector.sinks.mqtt_sink import payload, topic
from collector.store.journal import Journal
from linkweather.broker import BrokerSettings
from linkweather.errors import OperatorError
from linkweather.settings import validate
from linkweather.sink import ExportedRow
from linkweather.wire import DeviceRow
from tests import servers
from tests.collector.report_samples import NOON, capacity, entry, latency, path, throughput
from tests.collector.sinks.exporting import fill, opened, running, said
from tests.waiting import until

Heard = list[tuple[str, dict[str, Any]]]


def to(port: int, **fields: Any) -> MqttSettings:
    return MqttSettings(broker=BrokerSettings(url=f"mqtt://127.0.0.1:{port}"), **fields)


@asynccontextmanager
async def listening(port: int, to_topic: str = "linkweather/rows/#") -> AsyncIterator[Heard]:
    heard: Heard = []

    async def listen(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            heard.append((message.topic.value, json.loads(message.payload)))

    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe(to_topic, qos=1)
        task = asyncio.create_task(listen(client), name="listener")
        yield heard
        task.cancel()
        await asyncio.wait([task])


async def test_rows_of_every_kind_arrive_once_on_topics_of_their_links(journal: Journal, broker_port: int) -> None:
    journal.commit([entry(path(1, "f")), entry(throughput(2)), entry(latency(3, peers=("b", "c")))])
    journal.commit([entry(capacity(4, DeviceRow(type="a100/80", total=8)))])
    exporter = opened(journal, to(broker_port))
    async with listening(broker_port) as heard, running(exporter):
        await until(lambda: len(heard) == 5)
        await until(lambda: exporter.exported == 5)
    assert sorted(name for name, _ in heard) == [
        "linkweather/rows/capacity/a/a100_80",
        "linkweather/rows/latency/a/b",
        "linkweather/rows/latency/a/c",
        "linkweather/rows/path/a/b",
        "linkweather/rows/throughput/a/b",
    ]
    rows = dict(heard)
    assert rows["linkweather/rows/throughput/a/b"]["path_fingerprint"] == "f"
    assert rows["linkweather/rows/path/a/b"]["hops"][0] == {"ttl": 1, "address": "192.0.2.1", "rtt_s": 0.001}
    assert rows["linkweather/rows/capacity/a/a100_80"]["total"] == 8


async def test_thousands_of_rows_all_arrive(journal: Journal, broker_port: int) -> None:
    fill(journal, range(1500))
    exporter = opened(journal, to(broker_port, prefix="lab"))
    async with listening(broker_port, "lab/+/+/c") as heard, running(exporter):
        await until(lambda: len(heard) == 1500)
        await until(lambda: exporter.exported == 3000)
    assert [row["seq"] for _, row in heard] == list(range(1500))


def test_a_row_in_its_frozen_form() -> None:
    (row,) = latency(7, timestamp=None).links
    exported = ExportedRow(1, "a", "boot-1", 7, NOON, NOON + timedelta(seconds=1), row)
    assert topic("p", "latency", exported) == "p/latency/a/b"
    assert payload(exported) == (
        b'{"site": "a", "boot": "boot-1", "seq": 7, "at": "2026-11-01T12:00:00+00:00", '
        b'"received_at": "2026-11-01T12:00:01+00:00", "src": "a", "dst": "b", "method": "stamp", "sent": 50, '
        b'"received": 49, "rtt_p50_s": 0.007, "during_throughput": false}'
    )


async def test_a_broker_that_is_away_delays_and_loses_nothing(journal: Journal, tmp_path: Path) -> None:
    port = servers.free_port()
    fill(journal, range(5))
    exporter = opened(journal, to(port))
    async with running(exporter):
        await until(lambda: f"the broker mqtt://127.0.0.1:{port} is away" in said(exporter))
        assert exporter.backlog.lag_rows() == 10
        with servers.mosquitto(tmp_path, port):
            await until(lambda: exporter.exported == 10)
            await until(lambda: exporter.trouble is None)


async def test_a_broker_that_forbids_the_topic_is_said_and_costs_no_row(journal: Journal, tmp_path: Path) -> None:
    rules = tmp_path / "rules.acl"
    rules.write_text("topic read #\n")
    fill(journal, range(5))
    with servers.mosquitto(tmp_path, extra=f"acl_file {rules}\nuser root\n") as port:
        exporter = opened(journal, to(port))
        async with running(exporter):
            await until(lambda: exporter.trouble is not None)
            assert exporter.trouble is not None
            assert exporter.trouble.code == "setup"
            assert said(exporter) == (
                f"the broker mqtt://127.0.0.1:{port} does not let us publish linkweather/rows/latency/a/b: "
                "check user name, password and the user's rights"
            )
            assert (exporter.backlog.lag_rows(), exporter.backlog.set_aside.rows()) == (10, 0)


async def test_a_wrong_password_is_said(journal: Journal, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    fill(journal, range(1))
    with servers.mosquitto(tmp_path, extra=f"password_file {passwords}\nuser root\n") as port:
        wrong = tmp_path / "wrong"
        wrong.write_text("wrong")
        wrong.chmod(0o600)
        broker = BrokerSettings(url=f"mqtt://me@127.0.0.1:{port}", password_file=wrong)
        settings = MqttSettings(broker=broker)
        exporter = opened(journal, settings)
        async with running(exporter):
            await until(lambda: "refuses us: check user name, password and" in said(exporter))


async def test_a_row_larger_than_the_broker_takes_is_set_aside_and_the_rest_goes_on(
    journal: Journal, tmp_path: Path
) -> None:
    journal.commit([entry(latency(1)), entry(latency(2, detail="x" * 900)), entry(latency(3))])
    with servers.mosquitto(tmp_path, extra="max_packet_size 600\n") as port:
        exporter = opened(journal, to(port))
        async with listening(port) as heard, running(exporter):
            await until(lambda: exporter.exported == 2)
            await until(lambda: len(heard) == 2)
    (aside,) = exporter.backlog.set_aside.latest(9)
    assert (aside.first, aside.last, aside.reason.partition(": ")[2]) == (
        2,
        2,
        "the broker takes packets of 600 at most",
    )


@pytest.mark.parametrize("prefix", ["linkweather/v1", "linkweather/v1/site", "a/+/b", "a/#", "", "/"])
def test_a_topic_that_is_none_or_ours_is_refused(prefix: str) -> None:
    with pytest.raises(OperatorError, match="must be a topic without"):
        validate({"prefix": prefix}, MqttSettings, "x.toml")
