"""What is wrong with a collector, its sites and its broker is in the metrics and in readyz, and holds up nothing."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path

import aiomqtt
import httpx
import pytest

from collector.daemon import CollectorDaemon
from collector.settings import CollectorBroker, CollectorSettings
from collector.store import decision_writer
from linkweather.wire import Status, encode, topics
from tests import servers
from tests.collector.running_collector import (
    latency_report,
    running,
    settings,
    site,
)
from tests.waiting import until

__all__ = ["settings", "site"]


async def test_not_ready_while_the_broker_is_away(settings: CollectorSettings) -> None:
    away = servers.free_port()
    found = CollectorDaemon(settings.model_copy(update={"broker": CollectorBroker(url=f"mqtt://127.0.0.1:{away}")}))
    stop = asyncio.Event()
    task = asyncio.create_task(found.run(stop), name="daemon")
    await until(lambda: bool(found.parts.connection.last_error))
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"http://127.0.0.1:{settings.api.port}/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, [found.parts.connection.last_error])
    assert f"the broker mqtt://127.0.0.1:{away} is away" in found.parts.connection.last_error
    stop.set()
    await task
    found.parts.server.close()
    found.parts.journal.close()


async def test_a_sink_that_fails_degrades_the_collector_and_holds_up_nothing(
    settings: CollectorSettings, site: aiomqtt.Client
) -> None:
    url = f"http://127.0.0.1:{servers.free_port()}"
    values = settings.model_dump() | {"sinks": {"main": {"kind": "influx", "url": url, "bucket": "b", "token": "t"}}}
    async with running(CollectorSettings.model_validate(values)) as collector:
        await site.publish(topics.report("a", "latency"), latency_report(1), qos=1)
        await collector.until_link("state", "fresh")
        ready = await collector.until("/readyz", lambda answer: bool(answer.json()["degraded"]))
        text = (await collector.http.get("/metrics")).text
    assert 'linkweather_sink_lag_rows{sink="main"} 1.0' in text
    assert 'linkweather_sink_failing{reason="away",sink="main"} 1.0' in text
    assert 'linkweather_sink_failing{reason="setup",sink="main"} 0.0' in text
    assert 'linkweather_sink_exported_rows_total{sink="main"} 0.0' in text
    assert ready.status_code == 200
    assert [sentence.partition(" (")[0] for sentence in ready.json()["degraded"]] == [
        f"sink main: {url} takes no data now"
    ]


async def test_what_a_site_says_that_it_lost_is_in_the_metrics_and_in_readyz(
    settings: CollectorSettings, site: aiomqtt.Client
) -> None:
    counts = {"dropped_reports": 3, "overflows": {"receipts": 2}, "unpublished": {"not_authorized": 1}}
    status = Status.model_validate({"state": "online", **counts, "damaged_files": {"mesh.json": 1}})
    async with running(settings) as collector:
        await site.publish(topics.status("a"), encode(status), qos=1, retain=True)
        last = 'linkweather_site_damaged_files{file="mesh.json",site="a"} 1.0'
        text = (await collector.until("/metrics", lambda answer: last in answer.text)).text
        ready = await collector.get("/readyz")
    assert 'linkweather_site_dropped_reports_total{site="a"} 3.0' in text
    assert 'linkweather_site_overflows_total{queue="receipts",site="a"} 2.0' in text
    assert 'linkweather_site_unpublished_total{reason="not_authorized",site="a"} 1.0' in text
    assert ready["degraded"] == ["the site a has set aside 1 of mesh.json, found damaged: delete what is not needed"]


async def test_who_follows_a_stream_is_in_the_metrics(settings: CollectorSettings) -> None:
    alto = {"add": {"map": {"resource-id": "default-network-map"}}}
    kind = {"content-type": "application/alto-updatestreamparams+json"}
    async with running(settings) as collector:
        assert 'linkweather_listeners{stream="events"} 0.0' in (await collector.http.get("/metrics")).text
        async with (
            collector.http.stream("GET", "/api/v1/events"),
            collector.http.stream("POST", "/alto/updates", json=alto, headers=kind),
        ):
            lines = ['linkweather_listeners{stream="events"} 1.0', 'linkweather_listeners{stream="alto"} 1.0']
            await collector.until("/metrics", lambda answer: all(line in answer.text for line in lines))


async def test_the_goodbye_of_an_older_probe_that_says_less_is_in_the_metrics(
    settings: CollectorSettings, site: aiomqtt.Client
) -> None:
    goodbye = b'{"v":1,"state":"offline","outbox_reports":2,"dropped_reports":3}'
    async with running(settings) as collector:
        await site.publish(topics.status("a"), goodbye, qos=1, retain=True)
        last = 'linkweather_site_dropped_reports_total{site="a"} 3.0'
        text = (await collector.until("/metrics", lambda answer: last in answer.text)).text
    assert 'linkweather_site_outbox_reports{site="a"} 2.0' in text
    assert 'linkweather_site_damaged_reports_total{site="a"}' not in text


async def test_what_the_journal_lost_is_in_the_ledger_the_metrics_and_in_readyz(settings: CollectorSettings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "journal.duckdb.acknowledged").write_bytes(
        (7).to_bytes(8, "little") + zlib.crc32((7).to_bytes(8, "little")).to_bytes(4, "little")
    )
    async with running(settings) as collector:
        text = (await collector.http.get("/metrics")).text
        (sentence,) = (await collector.get("/readyz"))["degraded"]
        ledger = await collector.get("/api/v1/ledger")
    assert 'linkweather_journal_damage_total{reason="missing"} 1.0' in text
    assert 'linkweather_journal_lost_reports_total{reason="missing"} 7.0' in text
    assert "has 0 of 7 reports that it acknowledged: 7 are lost" in sentence
    assert ledger["lost"] == {"missing": 7}


async def test_what_the_broker_does_not_take_is_in_the_metrics_and_in_readyz(
    settings: CollectorSettings, tmp_path: Path
) -> None:
    with servers.mosquitto(tmp_path, extra="max_packet_size 300\n") as port:  # routes are longer
        async with running(
            settings.model_copy(update={"broker": CollectorBroker(url=f"mqtt://127.0.0.1:{port}")})
        ) as collector:
            name = 'linkweather_unpublished_total{reason="oversized"}'
            await collector.until("/metrics", lambda answer: name in answer.text)
            degraded = (await collector.get("/readyz"))["degraded"]
    assert all("takes packets of 300 at most" in sentence for sentence in degraded)
    assert degraded[0].split(": ")[0] in {topics.routes("a"), topics.routes("b")}


async def test_decisions_that_found_no_room_are_a_metric(
    settings: CollectorSettings, site: aiomqtt.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_writer, "UNWRITTEN_MAX", 0)
    async with running(settings) as collector:
        dropped = "linkweather_decisions_dropped_total"
        assert f"{dropped} 0.0" in (await collector.http.get("/metrics")).text
        await site.publish(topics.report("a", "latency"), latency_report(1), qos=1)
        await collector.until("/metrics", lambda answer: dropped in answer.text and f"{dropped} 0.0" not in answer.text)
