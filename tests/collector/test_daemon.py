"""The collector as a whole: a real broker, a real journal, real HTTP."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiomqtt
import duckdb
import pytest

from collector import mesh_file
from collector.ingest.waiting_messages import BATCH_REPORTS
from collector.settings import ApiSettings, CollectorSettings, JournalSettings
from collector.store.journal import JOURNAL_FILE
from linkweather.api_place import local_api
from linkweather.client import Client
from linkweather.errors import OperatorError
from linkweather.mesh.site_mesh import SiteMesh
from linkweather.mqtt import Connection
from linkweather.wire import Committed, LatencyReport, LatencyRow, Status, decode, encode, topics
from linkweather.wire.mesh_parts import MeshOrigin
from tests import servers
from tests.collector.running_collector import (
    THREE,
    TWO,
    latency_report,
    next_payload,
    running,
    settings,
    site,
)
from tests.waiting import until

__all__ = ["settings", "site"]


async def test_a_report_is_committed_acknowledged_and_answered(
    settings: CollectorSettings, site: aiomqtt.Client
) -> None:
    await site.subscribe(topics.committed("a"), qos=1)
    async with running(settings) as collector:
        await site.publish(topics.report("a", "latency"), latency_report(7), qos=1)
        committed = decode(Committed, await next_payload(site))
        assert (committed.boot, committed.seqs) == ("boot", (7,))
        link = await collector.until_link("state", "fresh")
        assert (link["rtt_p50_s"], link["loss_ratio"], link["method"]) == (0.02, 0.02, "stamp")
        history = await collector.get("/api/v1/links/a/b/history?metric=rtt_p50_s&since=5m")
        assert [(bucket["count"], bucket["p50"]) for bucket in history["buckets"]] == [(1, 0.02)]
        first, second = await collector.get("/api/v1/sites")
        assert first["report_age_s"] < 30
        assert second["report_age_s"] is None


async def test_a_restart_answers_as_before(settings: CollectorSettings, site: aiomqtt.Client) -> None:
    """At one moment, as ages grow and forecasts widen; with clocks 50 min ahead, right, and 50 min behind."""
    async with running(settings) as collector:
        for seq, ahead_s in enumerate((3000, 3000, 0, -3000)):
            report = latency_report(seq, p50_s=0.01 * (seq + 1), ahead_s=ahead_s)
            await site.publish(topics.report("a", "latency"), report, qos=1)
        await collector.until_link("rtt_p50_s", 0.04)
        # Of a later moment than any so far: what all links show is pooled as of a round time, and one that came late
        # is missing from a pool that was made before.
        now = time.time() + 60
        before = collector.daemon.parts.links.link("a", "b", now)
    async with running(settings) as collector:
        after = collector.daemon.parts.links.link("a", "b", now)
    assert before == after
    assert before is not None
    assert (before.state, before.rtt_forecast_samples) == ("expired", 3)


async def test_a_dead_link_is_down_though_its_rows_of_before_were_from_a_clock_ahead(
    settings: CollectorSettings, site: aiomqtt.Client, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(settings) as collector:
        for seq in range(3):
            await site.publish(topics.report("a", "latency"), latency_report(seq, ahead_s=3000), qos=1)
        link = await collector.until_link("state", "fresh")
        sentence = "the clock of site a is 50 min ahead of the collector's: synchronise it, by NTP say"
        first, second = await collector.get("/api/v1/sites")
        assert (link["reason"], first["clock"], second["clock"]) == (sentence, sentence, None)
        assert 2970 < first["clock_offset_s"] < 3001
        assert (await collector.get("/api/v1/links"))[0]["reason"] == sentence
        assert 'linkweather_site_clock_offset_seconds{site="a"} 29' in (await collector.http.get("/metrics")).text
        await until(lambda: [one.message for one in caplog.records if "clock" in one.message] == [sentence])
        dead = LatencyRow(src="a", dst="b", method="stamp", sent=50, received=0)
        report = LatencyReport(boot="boot", seq=3, at=datetime.now(UTC), links=(dead,))
        await site.publish(topics.report("a", "latency"), encode(report), qos=1)
        await collector.until_link("state", "down")
    async with running(settings) as collector:
        assert (await collector.get("/api/v1/links/a/b"))["state"] == "down"


async def test_a_collector_whose_clock_is_two_hours_behind_takes_every_report(
    settings: CollectorSettings, site: aiomqtt.Client
) -> None:
    """By its clock the sites are ahead: they get `committed`, and delete nothing that is not in the journal."""
    await site.subscribe(topics.committed("a"), qos=1)
    async with running(settings) as collector:
        await site.publish(topics.report("a", "latency"), latency_report(7, ahead_s=7200), qos=1)
        receipt = decode(Committed, await next_payload(site))
        assert receipt == Committed(boot="boot", seqs=(7,), journal=receipt.journal)
        assert (await collector.until_link("state", "fresh"))["age_s"] < 30
        await site.publish(topics.report("b", "latency"), latency_report(7, ahead_s=7200, link="ba"), qos=1)
        ready = await collector.until("/readyz", lambda answer: bool(answer.json()["degraded"]))
    (ours,) = ready.json()["degraded"]
    assert ready.status_code == 200
    assert ours == "the collector's clock is 2 h behind those of 2 of 2 sites: synchronise it, by NTP say"


async def test_reports_around_a_stop_are_in_the_journal_once_each(
    settings: CollectorSettings, site: aiomqtt.Client
) -> None:
    """A stop in the middle of 300 reports; the site sends all of them again, as one does without `committed`."""
    async with running(settings) as collector:
        for seq in range(300):
            await site.publish(topics.report("a", "latency"), latency_report(seq), qos=0)
        await collector.until_link("state", "fresh")
    async with running(settings) as collector:
        for seq in range(300):
            await site.publish(topics.report("a", "latency"), latency_report(seq), qos=1)
        await site.publish(topics.report("a", "latency"), latency_report(300, p50_s=0.09), qos=1)
        await collector.until_link("rtt_p50_s", 0.09)
        history = await collector.get("/api/v1/links/a/b/history?since=5m&step=1h")
        assert sum(bucket["count"] for bucket in history["buckets"]) == 301


async def test_the_mesh_is_retained_and_follows_its_file(
    settings: CollectorSettings, site: aiomqtt.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_file, "WATCH_INTERVAL_S", 0.02)
    async with running(settings) as collector:
        await site.subscribe(topics.part("b", "+"), qos=1)
        assert list(decode_mesh(await next_payload(site)).sites) == ["b", "a"]
        rewrite(settings.mesh, THREE)
        assert list(decode_mesh(await next_payload(site)).sites) == ["b", "a", "c"]
        assert len(await collector.get("/api/v1/links")) == 6


async def test_a_mesh_that_did_not_get_out_is_published_again(
    settings: CollectorSettings, site: aiomqtt.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, failures = Connection.publish, iter([False, False])

    async def failing(connection: Connection, topic: str, payload: bytes, **options: Any) -> bool:
        return next(failures, True) and await publish(connection, topic, payload, **options)

    monkeypatch.setattr(Connection, "publish", failing)
    await site.subscribe(topics.part("a", "+"), qos=1)
    async with running(settings):
        assert list(decode_mesh(await next_payload(site)).sites) == ["a", "b"]


async def test_what_is_committed_at_a_stop_is_acknowledged(settings: CollectorSettings, site: aiomqtt.Client) -> None:
    """Whatever has reached the journal by the end was acknowledged before the end."""
    await site.subscribe(topics.committed("a"), qos=1)
    async with running(settings):
        for seq in range(2 * BATCH_REPORTS):
            await site.publish(topics.report("a", "latency"), latency_report(seq), qos=1)
    await site.publish(topics.committed("a"), encode(Committed(boot="end")), qos=1)
    acknowledged: set[int] = set()
    while (receipt := decode(Committed, await next_payload(site))).boot != "end":
        acknowledged.update(receipt.seqs)
    with duckdb.connect(str(settings.data_dir / JOURNAL_FILE), read_only=True) as journal:
        recorded = {seq for (seq,) in journal.execute("SELECT seq FROM latency").fetchall()}
    assert acknowledged == recorded
    assert len(recorded) > BATCH_REPORTS


async def test_two_collectors_on_one_broker_say_so_both(
    settings: CollectorSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api = ApiSettings(port=servers.free_port())
    second = settings.model_copy(update={"data_dir": tmp_path / "second", "api": api})
    async with running(settings) as one, running(second) as two:
        for collector in (one, two):
            answer = await collector.until("/readyz", lambda answer: bool(answer.json()["degraded"]))
            (sentence,) = answer.json()["degraded"]
            assert sentence.startswith("the mesh on this broker was published by another collector")
    assert caplog.text.count("the mesh on this broker was published by another collector") == 2


async def test_the_mesh_and_committed_name_the_journal_also_after_a_restart(
    settings: CollectorSettings, site: aiomqtt.Client
) -> None:
    settings = settings.model_copy(update={"journal": JournalSettings(memory_limit_mb=128, replaces=("j0",))})
    journals = []
    await site.subscribe(topics.committed("a"), qos=1)
    for seq in range(2):
        async with running(settings):
            await site.publish(topics.report("a", "latency"), latency_report(seq), qos=1)
            journals.append(decode(Committed, await next_payload(site)).journal)
    await site.subscribe(topics.MESH, qos=1)
    origin = decode(MeshOrigin, await next_payload(site))
    assert origin.replaces == ("j0",)
    assert {*journals, origin.journal} == {origin.journal}
    assert origin.journal is not None


async def test_an_invalid_mesh_is_refused_and_the_old_one_stays(
    settings: CollectorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_file, "WATCH_INTERVAL_S", 0.02)
    async with running(settings) as collector:
        rewrite(settings.mesh, "[latency]\ninterval_s = 0.0\n" + TWO)
        answer = (await collector.until("/api/v1/mesh", lambda answer: answer.json()["refused"] is not None)).json()
        assert answer["refused"] == f"{settings.mesh.name}: latency.interval_s = 0.0: must be at least 0.01"
        assert list(answer["mesh"]["sites"]) == ["a", "b"]


async def test_a_pushed_mesh_is_in_the_file_and_told_to_the_sites(
    settings: CollectorSettings, site: aiomqtt.Client
) -> None:
    async with running(settings):
        await site.subscribe(topics.part("a", "+"), qos=1)
        await next_payload(site)
        with Client(local_api(f"http://127.0.0.1:{settings.api.port}")) as client:
            assert (await asyncio.to_thread(client.push_mesh, THREE)).links == 6
            with pytest.raises(OperatorError, match=r"mesh.toml: nonsense = 1: no such key$"):
                await asyncio.to_thread(client.push_mesh, "nonsense = 1\n" + THREE)
        assert list(decode_mesh(await next_payload(site)).sites) == ["a", "b", "c"]
    assert settings.mesh.read_text() == THREE


async def test_site_statuses_are_shown_and_a_bad_one_is_counted(
    settings: CollectorSettings, site: aiomqtt.Client
) -> None:
    status = Status(state="online", version="0.1.0", outbox_reports=4, dropped_reports=1)
    await site.publish(topics.status("a"), encode(status), qos=1, retain=True)
    async with running(settings) as collector:
        await site.publish(topics.status("b"), b"{", qos=1)
        await collector.until("/metrics", lambda answer: 'refused_total{reason="status_malformed"} 1.0' in answer.text)
        first, second = await collector.get("/api/v1/sites")
        assert (first["state"], first["outbox_reports"], first["dropped_reports"]) == ("online", 4, 1)
        assert second["state"] == "unknown"
        assert 'linkweather_sites{state="online"} 1.0' in (await collector.http.get("/metrics")).text


async def test_what_is_refused_is_counted_by_reason(settings: CollectorSettings, site: aiomqtt.Client) -> None:
    async with running(settings) as collector:
        await site.publish(topics.report("b", "latency"), latency_report(1), qos=1)
        await collector.until("/metrics", lambda answer: 'refused_total{reason="foreign"} 1.0' in answer.text)


def decode_mesh(payload: bytes) -> SiteMesh:
    return SiteMesh.model_validate_json(payload)


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)
