"""The collector as a whole: a real broker, a real journal, real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiomqtt
import duckdb
import httpx
import pytest

from collector import daemon, mesh_file, parts
from collector.daemon import CollectorDaemon
from collector.ingest.waiting_messages import BATCH_REPORTS
from collector.settings import ApiSettings, CollectorBroker, CollectorSettings, JournalSettings
from collector.store import decision_writer
from collector.store.journal import JOURNAL_FILE, Journal, open_journal
from linkweather.api_place import local_api
from linkweather.client import Client
from linkweather.errors import OperatorError
from linkweather.mesh.site_mesh import SiteMesh
from linkweather.mqtt import Connection
from linkweather.wire import Committed, LatencyReport, LatencyRow, Status, decode, encode, topics
from linkweather.wire.mesh_parts import MeshOrigin
from tests import servers
from tests.waiting import until

PROGRAM = str(Path(sys.executable).with_name("linkweather"))
TWO = '[sites.a]\naddress = "192.0.2.1"\n\n[sites.b]\naddress = "192.0.2.2"\n'
THREE = TWO + '\n[sites.c]\naddress = "192.0.2.3"\n'


def latency_report(seq: int, *, boot: str = "boot", p50_s: float = 0.02, ahead_s: float = 0, link: str = "ab") -> bytes:
    row = LatencyRow(
        src=link[0], dst=link[1], method="stamp", sent=50, received=49, rtt_p50_s=p50_s, rtt_p95_s=p50_s + 0.01
    )
    return encode(LatencyReport(boot=boot, seq=seq, at=datetime.now(UTC) + timedelta(seconds=ahead_s), links=(row,)))


@pytest.fixture
def settings(tmp_path: Path, broker_port: int) -> CollectorSettings:
    (tmp_path / "mesh.toml").write_text(TWO)
    return CollectorSettings(
        broker=CollectorBroker(url=f"mqtt://127.0.0.1:{broker_port}"),
        mesh=tmp_path / "mesh.toml",
        data_dir=tmp_path / "data",
        api=ApiSettings(port=servers.free_port()),
        journal=JournalSettings(memory_limit_mb=128),
    )


@dataclass
class RunningCollector:
    """A collector in this process, and ways to ask it."""

    settings: CollectorSettings
    http: httpx.AsyncClient
    daemon: CollectorDaemon

    async def get(self, path: str) -> Any:
        return (await self.http.get(path)).json()

    async def until(self, path: str, holds: Callable[[httpx.Response], bool]) -> httpx.Response:
        async with asyncio.timeout(90):
            while not holds(answer := await self.http.get(path)):  # noqa: ASYNC110 – a state behind HTTP
                await asyncio.sleep(0.02)
        return answer

    async def until_link(self, field: str, value: object) -> dict[str, Any]:
        answer = await self.until("/api/v1/links/a/b", lambda answer: answer.json().get(field) == value)
        link: dict[str, Any] = answer.json()
        return link


@contextlib.asynccontextmanager
async def running(settings: CollectorSettings) -> AsyncIterator[RunningCollector]:
    """A collector that is ready, stopped at the end as by SIGTERM."""
    found = CollectorDaemon(settings)
    stop = asyncio.Event()
    task = asyncio.create_task(found.run(stop), name="daemon")
    try:
        url = f"http://127.0.0.1:{settings.api.port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            await until(lambda: task.done() or found.parts.connection.connected)
            if task.done():
                await task
            yield RunningCollector(settings, http, found)
            stop.set()
            await task
    finally:
        task.cancel()
        await asyncio.wait([task])
        found.parts.exporters.close()
        found.parts.journal.close()
        found.parts.server.close()


@pytest.fixture
async def site(broker_port: int) -> AsyncIterator[aiomqtt.Client]:
    """What a site has of the broker: a plain MQTT client."""
    async with aiomqtt.Client("127.0.0.1", broker_port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        yield client


async def next_payload(client: aiomqtt.Client) -> bytes:
    async with asyncio.timeout(90):
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            return message.payload
    raise AssertionError("the connection ended")


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
        assert [record.message for record in caplog.records if "clock" in record.message] == [sentence]
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


def decode_mesh(payload: bytes) -> SiteMesh:
    return SiteMesh.model_validate_json(payload)


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mesh.toml").write_text(TWO)
    return tmp_path


@contextlib.contextmanager
def command(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`linkweather collector` as a process in `folder`, killed at the end if it is still there."""
    process = subprocess.Popen(
        [PROGRAM, "collector", *options], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def until_healthy(port: int, process: subprocess.Popen[str]) -> None:
    """Wait until the collector answers, or has ended; a loaded machine takes long to load its engines."""

    def settled() -> bool:
        if process.poll() is not None:
            return True
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success
        return False

    servers.wait_until(settled, "the collector is healthy", limit_s=90)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_status_0_and_its_broker_with_it(folder: Path, number: signal.Signals) -> None:
    port, broker = servers.free_port(), servers.free_port()
    with command(folder, "--port", str(port), "--broker-port", str(broker)) as process:
        until_healthy(port, process)
        with Client(f"http://127.0.0.1:{port}") as client:
            assert [site.site for site in client.sites()] == ["a", "b"]
        process.send_signal(number)
        _, log = process.communicate(timeout=90)
    assert (process.returncode, "Traceback" in log) == (0, False)
    assert not servers.answers(broker)


def test_sighup_rereads_the_mesh(folder: Path) -> None:
    port = servers.free_port()
    with command(folder, "--port", str(port), "--broker-port", str(servers.free_port())) as process:
        until_healthy(port, process)
        stat = (folder / "mesh.toml").stat()
        (folder / "mesh.toml").write_text(TWO.replace("192.0.2.2", "192.0.2.9"))
        os.utime(folder / "mesh.toml", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the watch sees no change
        process.send_signal(signal.SIGHUP)
        with Client(f"http://127.0.0.1:{port}") as client:
            servers.wait_until(lambda: client.sites()[1].address == "192.0.2.9", "the mesh is read again")


def refusal(folder: Path, *options: str) -> str:
    with command(folder, *options) as process:
        _, log = process.communicate(timeout=90)
    assert process.returncode == 2
    return log


def test_a_taken_api_port_is_one_sentence_and_status_2(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal(folder, "--port", str(port)) == (
            f"Error: api.port = {port}: the port is taken, perhaps by another collector: choose another with --port\n"
        )


def test_a_taken_broker_port_is_one_sentence_and_status_2(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal(folder, "--port", str(servers.free_port()), "--broker-port", str(port)) == (
            f"Error: broker_port = {port}: the port is taken, perhaps by another broker: choose another with "
            f"--broker-port, or use that broker with --broker mqtt://127.0.0.1:{port}\n"
        )


def test_a_bad_broker_option_is_one_sentence_and_status_2(folder: Path) -> None:
    assert refusal(folder, "--broker", "tcp://x") == (
        "Error: the options: broker = 'tcp://x': must be \"embedded\", mqtt://host[:port], mqtts://host[:port] "
        "or unix:///path\n"
    )


def test_a_second_collector_on_the_same_data_is_refused(folder: Path) -> None:
    port = servers.free_port()
    with command(folder, "--port", str(port), "--broker-port", str(servers.free_port())) as process:
        until_healthy(port, process)
        log = refusal(folder, "--port", str(servers.free_port()), "--broker-port", str(servers.free_port()))
    assert log.startswith(f"Error: journal {folder}/collector-data/journal.duckdb: is in use by another process")


def test_a_data_folder_that_cannot_be_made_is_one_sentence(folder: Path) -> None:
    assert refusal(folder, "--data-dir", "mesh.toml/data") == (
        f"Error: data_dir = '{folder}/mesh.toml/data': cannot be made: Not a directory\n"
    )


def test_an_empty_token_file_is_one_sentence(folder: Path) -> None:
    (folder / "token").write_text("\n")
    (folder / "collector.toml").write_text('[api]\ntoken_file = "token"\n')
    assert refusal(folder, "--config", "collector.toml") == (
        f"Error: api.token_file = '{folder}/token': is empty; a token was expected\n"
    )


async def test_signals_that_come_while_the_collector_opens_are_handled(
    settings: CollectorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = signal.SIGHUP, signal.SIGTERM
    reread: list[CollectorDaemon] = []

    def signalled(data_dir: Path, settings: JournalSettings) -> Journal:
        for number in numbers:
            os.kill(os.getpid(), number)
        return open_journal(data_dir, settings)

    def note(found: CollectorDaemon) -> None:
        reread.append(found)

    monkeypatch.setattr(parts, "open_journal", signalled)
    monkeypatch.setattr(CollectorDaemon, "reload", note)
    for number in numbers:
        signal.signal(number, lambda *_: None)  # the default would end pytest
    try:
        async with asyncio.timeout(90):
            await daemon.run(settings)
    finally:
        for number in numbers:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
    assert len(reread) == 1


async def test_what_is_not_the_operator_s_mistake_crashes_loudly(
    settings: CollectorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: CollectorDaemon, __: asyncio.Event) -> None:
        async with asyncio.TaskGroup():
            raise ZeroDivisionError

    monkeypatch.setattr(CollectorDaemon, "run", broken)
    with pytest.raises(ExceptionGroup):
        await daemon.run(settings)
