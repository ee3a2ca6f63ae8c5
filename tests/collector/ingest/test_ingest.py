from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from collector.ingest import acknowledgement, batch_commit
from collector.ingest import ingest as module
from collector.ingest.admission import IncomingMessage, admit
from collector.ingest.ingest import Ingest
from collector.ingest.waiting_messages import BATCH_REPORTS, MESSAGE_BYTES, WaitingMessages
from collector.store.columns import Entry
from collector.store.journal import Journal
from linkweather.broker import parse_broker
from linkweather.containment import faults
from linkweather.mqtt import Connection
from linkweather.wire import CONFLICT, Committed, LinkReport, ReportRefusal, decode, encode, topics
from tests.collector.report_samples import NOON, latency
from tests.waiting import running_task, until


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.duckdb")
    yield journal
    journal.close()


class ReportingSite:
    """A site and a link state: `heard` is what is published, `new` what is passed on as committed."""

    def __init__(self, *, reachable: bool = True) -> None:
        self.reachable = reachable
        self.heard: list[tuple[str, Committed]] = []
        self.new: list[Entry] = []

    async def publish(self, topic: str, payload: bytes) -> bool:
        if self.reachable:
            committed = decode(Committed, payload)
            assert committed.journal  # its id differs from run to run
            self.heard.append((topic, committed.model_copy(update={"journal": None})))
        return self.reachable


@contextlib.asynccontextmanager
async def running(journal: Journal, site: ReportingSite, **settings: Any) -> AsyncIterator[Ingest]:
    ingest = Ingest(journal, publish=site.publish, on_committed=site.new.extend, now=lambda: NOON, **settings)
    async with running_task(ingest.run()):
        yield ingest


def send(ingest: Ingest, *seqs: int, **fields: Any) -> None:
    for seq in seqs:
        ingest.handle(topics.report("a", "latency"), encode(latency(seq, **fields)))


async def test_a_report_is_committed_told_to_the_link_state_and_acknowledged(journal: Journal) -> None:
    site = ReportingSite()
    async with running(journal, site) as ingest:
        send(ingest, 1, peers=("b", "c"))
        await until(lambda: bool(site.heard))
    assert site.heard == [(topics.committed("a"), Committed(boot="boot-1", seqs=(1,)))]
    assert site.new == [Entry("a", latency(1, peers=("b", "c")), NOON)]
    assert (ingest.reports, ingest.rows, ingest.duplicates) == (1, 2, 0)
    assert journal.database.rows("SELECT count(*) FROM latency") == [(2,)]


async def test_reports_that_arrive_together_are_acknowledged_in_one_message(journal: Journal) -> None:
    site = ReportingSite()
    async with running(journal, site) as ingest:
        send(ingest, *range(1, 51))
        await until(lambda: bool(site.heard))
    assert site.heard == [(topics.committed("a"), Committed(boot="boot-1", seqs=tuple(range(1, 51))))]


async def test_more_than_a_batch_is_committed_batch_by_batch_in_order(journal: Journal) -> None:
    site = ReportingSite()
    async with running(journal, site) as ingest:
        send(ingest, *range(2 * BATCH_REPORTS + 50))
        await until(lambda: len(site.heard) == 3)
    assert [entry.report.seq for entry in site.new] == list(range(2 * BATCH_REPORTS + 50))
    assert ingest.waiting_bytes == 0


async def test_a_duplicate_is_acknowledged_again_but_told_to_nobody(journal: Journal) -> None:
    site = ReportingSite()
    async with running(journal, site) as ingest:
        send(ingest, 1)
        await until(lambda: len(site.heard) == 1)
        send(ingest, 1)
        await until(lambda: len(site.heard) == 2)
    assert site.heard[0] == site.heard[1]
    assert len(site.new) == 1
    assert (ingest.reports, ingest.duplicates) == (1, 1)


async def test_a_report_whose_acknowledgement_got_lost_is_acknowledged_when_it_comes_again(journal: Journal) -> None:
    site = ReportingSite(reachable=False)
    async with running(journal, site) as ingest:
        send(ingest, 1)
        await until(lambda: ingest.reports == 1)
        site.reachable = True
        send(ingest, 1)
        await until(lambda: bool(site.heard))
    assert site.heard == [(topics.committed("a"), Committed(boot="boot-1", seqs=(1,)))]


async def test_a_duplicate_s_body_is_not_decoded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    site, decoded = ReportingSite(), 0

    def counted(*arguments: Any) -> Any:
        nonlocal decoded
        decoded += 1
        return admit(*arguments)

    monkeypatch.setattr(batch_commit, "admit", counted)
    async with running(journal, site) as ingest:
        send(ingest, 1)
        await until(lambda: len(site.heard) == 1)
        send(ingest, 1, 1, 1)
        await until(lambda: ingest.duplicates == 3)
    assert decoded == 1
    assert site.heard[-1] == (topics.committed("a"), Committed(boot="boot-1", seqs=(1,)))


async def test_another_report_under_a_recorded_number_is_a_conflict_and_kept(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """What a site sends whose machine went back to a snapshot, memory and all: also within one batch."""
    site = ReportingSite()
    other = latency(1).model_copy(update={"at": NOON + timedelta(hours=1)})
    third = latency(2).model_copy(update={"at": NOON + timedelta(hours=1)})
    async with running(journal, site) as ingest:
        send(ingest, 1)
        await until(lambda: len(site.heard) == 1)
        send(ingest, 1)
        ingest.handle(topics.report("a", "latency"), encode(other))
        send(ingest, 2)
        ingest.handle(topics.report("a", "latency"), encode(third))
        await until(lambda: len(site.heard) == 2)
    refused = tuple(ReportRefusal(seq=seq, reason=CONFLICT) for seq in (1, 2))
    assert site.heard[1][1] == Committed(boot="boot-1", seqs=(1, 2), refused=refused)
    assert (ingest.reports, ingest.duplicates, ingest.refused["conflict"]) == (2, 1, 2)
    assert journal.database.rows("SELECT seq FROM latency ORDER BY seq") == [(1,), (2,)]
    kept = journal.database.rows("SELECT reason, payload FROM quarantine ORDER BY number")
    assert kept == [("conflict", encode(other)), ("conflict", encode(third))]
    assert caplog.text.count("the site a sends other reports under numbers that are recorded") == 1


async def test_a_file_that_failed_is_opened_again_for_a_duplicate(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.01)
    site = ReportingSite()
    async with running(journal, site) as ingest:
        send(ingest, 1)
        await until(lambda: len(site.heard) == 1)
        journal.database._connection.close()  # what DuckDB's fatal errors come down to
        send(ingest, 1)
        await until(lambda: ingest.duplicates == 1)
    assert site.heard[0] == site.heard[1]


async def test_a_bad_report_beside_good_ones_is_refused_alone(journal: Journal) -> None:
    site = ReportingSite()
    bad = encode(latency(2)).replace(b'"received":49', b'"received":51')
    async with running(journal, site) as ingest:
        send(ingest, 1)
        ingest.handle(topics.report("a", "latency"), bad)
        ingest.handle(topics.report("a", "latency"), b"\x00garbage")
        send(ingest, 3)
        await until(lambda: bool(site.heard))
    refused = (ReportRefusal(seq=2, reason="impossible"),)
    assert site.heard == [(topics.committed("a"), Committed(boot="boot-1", seqs=(1, 3), refused=refused))]
    assert ingest.refused == {"impossible": 1, "malformed": 1}
    assert journal.database.rows("SELECT seq FROM latency ORDER BY seq") == [(1,), (3,)]
    kept = journal.database.rows("SELECT reason, payload FROM quarantine ORDER BY number")
    assert kept == [("impossible", bad), ("malformed", b"\x00garbage")]


async def test_a_bad_row_costs_that_row_and_its_report_is_committed(journal: Journal) -> None:
    site = ReportingSite()
    report = encode(latency(2, peers=("b", "c", "d"), lost_forward=1, lost_back=0))
    bad = report.replace(b'"dst":"c","method":"stamp","sent":50,', b'"dst":"c","method":"stamp","sent":500,')
    bad = bad.replace(b'"sent":500,"received":49,"lost_forward":1,', b'"sent":50,"received":49,"lost_forward":500,')
    async with running(journal, site) as ingest:
        ingest.handle(topics.report("a", "latency"), bad)
        await until(lambda: bool(site.heard))
        ingest.handle(topics.report("a", "latency"), bad)  # again, as after a lost acknowledgement
        await until(lambda: len(site.heard) == 2)
    assert site.heard == 2 * [(topics.committed("a"), Committed(boot="boot-1", seqs=(2,)))]
    links = [entry.report.links for entry in site.new if isinstance(entry.report, LinkReport)]
    assert [row.dst for rows in links for row in rows] == ["b", "d"]
    assert journal.database.rows("SELECT dst FROM latency ORDER BY number") == [("b",), ("d",)]
    assert (ingest.rows, ingest.refused_rows, ingest.refused) == (2, 1, {})
    ((topic, reason, detail, payload),) = journal.database.rows("SELECT topic, reason, detail, payload FROM quarantine")
    assert (topic, reason) == (topics.report("a", "latency"), "impossible")
    assert detail.startswith("links.1: Value error, lost_forward + lost_back <= sent - received does not hold: 500 > 1")
    assert json.loads(payload)["dst"] == "c"


async def test_a_report_that_spoils_its_batch_costs_itself(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    commit, before = journal.commit, faults().get("commit", 0)

    def picky(entries: Sequence[Entry]) -> list[Entry]:
        if any(entry.report.seq == 2 for entry in entries):
            raise OverflowError("int too large to convert")
        return commit(entries)

    monkeypatch.setattr(journal, "commit", picky)
    site = ReportingSite()
    async with running(journal, site) as ingest:
        send(ingest, 1, 2, 3)
        await until(lambda: bool(site.heard))
        send(ingest, 4)
        await until(lambda: len(site.heard) == 2)
    refused = (ReportRefusal(seq=2, reason="fault"),)
    assert [message for _, message in site.heard] == [
        Committed(boot="boot-1", seqs=(1, 3), refused=refused),
        Committed(boot="boot-1", seqs=(4,)),
    ]
    assert ingest.refused == {"fault": 1}
    assert faults()["commit"] == before + 1
    assert "int too large to convert" in caplog.text


async def test_a_link_state_that_fails_does_not_end_ingest(journal: Journal) -> None:
    heard: list[tuple[str, bytes]] = []

    async def publish(topic: str, payload: bytes) -> bool:
        heard.append((topic, payload))
        return True

    def fail(_: object) -> None:
        raise RuntimeError("no such link")

    ingest = Ingest(journal, publish=publish, on_committed=fail, now=lambda: NOON)
    task = asyncio.create_task(ingest.run(), name="ingest")
    for seq in (1, 2):
        send(ingest, seq)
        await until(lambda seq=seq: len(heard) == seq)  # type: ignore[misc]
    task.cancel()
    await asyncio.wait([task])


async def test_the_link_state_gets_a_commit_in_parts(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.ingest.ingest.SLICE_ROWS", 3)
    parts: list[list[int]] = []
    site = ReportingSite()
    ingest = Ingest(
        journal,
        publish=site.publish,
        on_committed=lambda entries: parts.append([entry.report.seq for entry in entries]),
        now=lambda: NOON,
    )
    messages = [
        IncomingMessage(topics.report("a", "latency"), encode(latency(seq, peers=("b", "c"))), NOON)
        for seq in (1, 2, 3, 4, 5)
    ]
    await ingest.take_in(messages)
    assert parts == [[1, 2], [3, 4], [5]]


async def test_the_mesh_of_the_moment_says_who_may_report(journal: Journal) -> None:
    site = ReportingSite()
    sites = {"b"}
    async with running(journal, site, sites=lambda: sites) as ingest:
        send(ingest, 1)
        await until(lambda: ingest.refused["unknown_site"] == 1)
        sites.add("a")
        send(ingest, 2)
        await until(lambda: ingest.reports == 1)
    assert [entry.report.seq for entry in site.new] == [2]


async def test_receipts_fit_a_broker_with_small_packets(journal: Journal) -> None:
    site = ReportingSite()
    async with running(journal, site, max_packet_bytes=lambda: 250) as ingest:
        send(ingest, *range(BATCH_REPORTS))
        await until(lambda: sum(len(committed.seqs) for _, committed in site.heard) == BATCH_REPORTS)
    assert all(len(encode(committed)) < 250 for _, committed in site.heard)


async def test_while_the_disk_fails_nothing_is_acknowledged_and_then_everything(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.01)
    commit: Callable[..., Any] = journal.commit
    failures = iter([duckdb.IOException("No space left on device"), duckdb.IOException("No space left on device")])

    def failing(entries: Any) -> Any:
        error = next(failures, None)
        if error is not None:
            assert not site.heard
            raise error
        return commit(entries)

    site = ReportingSite()
    monkeypatch.setattr(journal, "commit", failing)
    async with running(journal, site) as ingest:
        send(ingest, 1, 2)
        await until(lambda: "No space left on device" in ingest.last_error)
        assert ingest.reports == 0
        await until(lambda: ingest.reports == 2)
    assert ingest.last_error == ""
    assert len(site.new) == 2


async def test_beyond_the_bound_messages_are_let_go_and_counted(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(encode(latency(1))) + len(topics.report("a", "latency")) + MESSAGE_BYTES
    monkeypatch.setattr(module, "WaitingMessages", lambda: WaitingMessages(2 * size))
    site = ReportingSite()
    ingest = Ingest(journal, publish=site.publish)
    send(ingest, 1, 2, 3)
    assert ingest.overflowed == 1
    assert ingest.waiting_bytes == 2 * size


async def test_how_long_the_oldest_message_waits_also_during_its_commit(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def commit(entries: Sequence[Entry]) -> list[Entry]:
        begun.set()
        assert go_on.wait(30)
        return real(entries)

    real = journal.commit
    monkeypatch.setattr(journal, "commit", commit)
    async with running(journal, ReportingSite()) as ingest:
        assert ingest.waiting_s(NOON.timestamp() + 7.0) == 0.0
        send(ingest, 1)
        assert ingest.waiting_s(NOON.timestamp() + 7.0) == 7.0
        await until(begun.is_set)
        assert ingest.waiting_s(NOON.timestamp() + 8.0) == 8.0
        go_on.set()
        await until(lambda: ingest.waiting_s(NOON.timestamp() + 9.0) == 0.0)


async def test_messages_without_a_payload_have_a_bound_too(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WaitingMessages", lambda: WaitingMessages(10 * MESSAGE_BYTES))
    ingest = Ingest(journal, publish=ReportingSite().publish)
    for _ in range(1000):
        ingest.handle(topics.report("a", "latency"), b"")
    assert ingest.overflowed > 990
    assert not ingest.at_rest


async def test_at_rest_is_after_the_acknowledgement_and_after_the_end_nothing_is_taken(journal: Journal) -> None:
    site = ReportingSite()
    hearing = asyncio.Event()

    async def publish(topic: str, payload: bytes) -> bool:
        await hearing.wait()
        return await ReportingSite.publish(site, topic, payload)

    site.publish = publish  # type: ignore[method-assign]
    async with running(journal, site) as ingest:
        assert ingest.at_rest
        send(ingest, 1)
        ingest.close()
        send(ingest, 2)
        await until(lambda: ingest.reports == 1)
        assert ingest.waiting_bytes == 0
        assert not ingest.at_rest
        hearing.set()
        await until(lambda: ingest.at_rest)
    assert site.heard == [(topics.committed("a"), Committed(boot="boot-1", seqs=(1,)))]


async def test_commits_go_on_while_the_broker_acknowledges_nothing_up_to_a_bound(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Acknowledgement", lambda publish: acknowledgement.Acknowledgement(publish, 2))
    site, answering = ReportingSite(), asyncio.Event()

    async def publish(topic: str, payload: bytes) -> bool:
        await answering.wait()
        return await ReportingSite.publish(site, topic, payload)

    site.publish = publish  # type: ignore[method-assign]
    async with running(journal, site) as ingest:
        for seq in (1, 2, 3):
            send(ingest, seq)
            await until(lambda seq=seq: ingest.reports == seq)  # type: ignore[misc]
        send(ingest, 4)
        await asyncio.sleep(3 * module.GATHER_LEAST_S)  # nothing to wait for: the third message has no room yet
        assert (ingest.reports, ingest.at_rest) == (3, False)
        answering.set()
        await until(lambda: ingest.at_rest)
    assert [committed.seqs for _, committed in site.heard] == [(1,), (2,), (3,), (4,)]


def test_commits_take_a_twentieth_of_the_time_within_bounds() -> None:
    assert [module.gather_s(commit_s) for commit_s in (0.0, 0.005, 0.01, 0.025, 3.0)] == [0.1, 0.1, 0.2, 0.5, 0.5]


async def test_a_report_goes_over_a_real_broker_into_the_journal_and_back_as_committed(
    journal: Journal, broker_port: int
) -> None:
    broker = parse_broker(f"mqtt://127.0.0.1:{broker_port}")
    heard: list[tuple[str, bytes]] = []
    probe = Connection(
        broker, "site-a", subscriptions=[topics.committed("a")], handle=lambda topic, text: heard.append((topic, text))
    )

    async def publish(topic: str, payload: bytes) -> bool:
        return await collector.publish(topic, payload)

    ingest = Ingest(journal, publish=publish, now=lambda: NOON)
    collector = Connection(broker, "collector", subscriptions=[topics.ALL_REPORTS], handle=ingest.handle)
    tasks = [asyncio.create_task(work(), name="test") for work in (probe.run, collector.run, ingest.run)]
    await until(lambda: probe.connected and collector.connected)
    await probe.publish(topics.report("a", "latency"), encode(latency(1)))
    await until(lambda: bool(heard))
    assert decode(Committed, heard[0][1]) == Committed(journal=journal.id, boot="boot-1", seqs=(1,))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert journal.database.rows("SELECT seq FROM latency") == [(1,)]
