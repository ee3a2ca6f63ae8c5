"""The exporter does for any sink what a sink need not: cursor, waits, refusals, counters, an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from collector.sinks import exporter as exporter_module
from collector.sinks import set_aside as set_aside_module
from collector.sinks.exporter import Exporter, trouble_of
from collector.sinks.exporters import Exporters
from collector.store.journal import Journal
from linkweather.backoff import Backoff
from linkweather.broker import Broker
from linkweather.errors import OperatorError
from linkweather.sink import (
    BatchRefusedError,
    ExportedRow,
    RowBatch,
    RowRefusal,
    Sink,
    SinkAwayError,
    SinkContext,
    SinkSettings,
    SinkSetupError,
)
from linkweather.wire import DeviceRow, LatencyRow, ThroughputRow
from tests.collector.report_samples import NOON, capacity, entry, latency, path, throughput
from tests.collector.sinks.exporting import fill, running, said
from tests.waiting import until


class ListSink:
    """Keeps rows, by kind and number; `refuses` and `error` are what goes wrong."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], ExportedRow] = {}
        self.sizes: list[int] = []
        self.refused_kinds: set[str] = set()
        self.error: Exception | None = None
        self.bad: set[int] = set()
        self.closed = False

    def write(self, batch: RowBatch) -> Sequence[RowRefusal]:
        if self.error is not None:
            raise self.error
        if batch.kind in self.refused_kinds:
            raise BatchRefusedError("not this kind")
        rows = batch.rows()
        self.sizes.append(len(rows))
        self.rows.update({(batch.kind, row.number): row for row in rows if row.number not in self.bad})
        return [RowRefusal(row.number, row.number, 1, "bad") for row in rows if row.number in self.bad]

    def close(self) -> None:
        self.closed = True


class ListSettings(SinkSettings):
    kind: str = "list"

    def open(self, context: SinkContext) -> Sink:
        if context.name == "impossible":
            raise OperatorError("sinks.impossible: never")
        return SINKS.setdefault(context.name, ListSink())


SINKS: dict[str, ListSink] = {}
BROKER = Broker("mqtt", "127.0.0.1", 1883)


@pytest.fixture(autouse=True)
def no_sinks() -> None:
    SINKS.clear()


def exporter_of(journal: Journal, sink: Sink, **settings: float) -> Exporter:
    return Exporter(journal.database, "list", ListSettings.model_validate(settings), sink)


def test_a_sink_gets_typed_rows_of_every_kind_in_the_order_of_commit(journal: Journal) -> None:
    journal.commit([entry(path(1, "f")), entry(throughput(2)), entry(latency(3, peers=("b", "c")))])
    journal.commit([entry(capacity(4, DeviceRow(type="a100", total=8)))])
    sink = ListSink()
    exporter = exporter_of(journal, sink)
    assert exporter.step()
    assert not exporter.step()
    first, second = sink.rows["latency", 1], sink.rows["latency", 2]
    assert (first.site, first.boot, first.seq) == ("a", "boot-1", 3)
    assert (first.at.timestamp(), first.received_at.timestamp()) == (NOON.timestamp() + 3, NOON.timestamp() + 4)
    assert isinstance(first.row, LatencyRow)
    assert isinstance(second.row, LatencyRow)
    assert (first.row.dst, second.row.dst, first.row.rtt_p50_s) == ("b", "c", 0.003)
    tested = sink.rows["throughput", 1]
    assert isinstance(tested.row, ThroughputRow)
    assert tested.path_fingerprint == "f"
    assert sink.rows["capacity", 1].row == DeviceRow(type="a100", total=8)
    assert exporter.exported == 5


def test_batches_are_as_large_as_set_and_a_part_reads_its_own_rows(journal: Journal) -> None:
    fill(journal, range(5))
    batch = exporter_of(journal, ListSink(), batch_rows=7).backlog.next("latency", 7)
    assert batch is not None
    assert (batch.first, batch.last, len(batch), batch.span) == (1, 7, 7, 7)
    part = batch.part(2, 5)
    assert [row.number for row in part.rows()] == [3, 4, 5]
    assert part.sql(f"SELECT sum(number) FROM {part.source}") == [(12,)]  # noqa: S608
    assert part.columns()["number"].tolist() == [3, 4, 5]


async def test_one_failing_sink_holds_up_no_other(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    fill(journal, range(10))
    tables = {name: ListSettings() for name in ("good", "faulty")}
    exporters = Exporters(journal.database, tables, BROKER)
    SINKS["faulty"].error = ZeroDivisionError("ours")
    good, faulty = exporters.by_name.values()
    async with running(good), running(faulty):
        await until(lambda: good.exported == 20)
        await until(lambda: faulty.trouble is not None)
        assert good.trouble is None
        assert exporters.failing() == ["sink faulty: the sink failed (ZeroDivisionError: ours); the log says where"]
        fill(journal, range(10, 20))
        await until(lambda: good.exported == 40)
        SINKS["faulty"].error = None
        faulty.retry()  # ends the wait
        await until(lambda: faulty.exported == 40)
    assert [record.message for record in caplog.records if record.exc_info] == [
        "sink faulty: an unexpected fault is contained; further ones of its kind are only counted"
    ]


def test_a_kind_of_which_everything_is_refused_waits_alone(journal: Journal) -> None:
    journal.commit([entry(latency(1)), entry(path(2, "f"))])
    sink = ListSink()
    sink.refused_kinds = {"path"}
    exporter = exporter_of(journal, sink)
    assert exporter.step()
    assert said(exporter) == "every row is refused: not this kind"
    fill(journal, range(3, 9))
    assert exporter.step()
    assert (exporter.exported, exporter.backlog.lag_rows(), exporter.backlog.set_aside.rows()) == (13, 1, 0)
    sink.refused_kinds = set()
    while not exporter.step():
        time.sleep(0.01)
    assert (exporter.trouble, exporter.backlog.lag_rows()) == (None, 0)


def test_a_batch_that_is_not_full_lingers(journal: Journal) -> None:
    now = [0.0]
    sink = ListSink()
    settings = ListSettings(batch_rows=10, linger_s=60.0)
    exporter = Exporter(journal.database, "list", settings, sink, clock=lambda: now[0])
    fill(journal, range(3))
    assert not exporter.step()
    now[0] = 59.0
    assert not exporter.step()
    fill(journal, range(3, 5))
    assert exporter.step()  # it is full
    fill(journal, range(5, 6))
    assert not exporter.step()
    now[0] = 119.5
    assert exporter.step()  # it has waited
    assert sink.sizes == [10, 2]


def test_what_is_set_aside_is_listed_sent_again_on_request_and_dropped_on_request(journal: Journal) -> None:
    fill(journal, range(10))
    sink = ListSink()
    sink.bad = {3, 4, 20}
    exporter = exporter_of(journal, sink)
    exporter.step()
    aside = exporter.backlog.set_aside
    assert [(one.kind, one.first, one.last, one.rows, one.reason) for one in aside.latest(9)] == [
        ("latency", number, number, 1, "bad") for number in (20, 4, 3)
    ]
    sink.bad = {20}
    exporter.retry()
    assert exporter.step()
    assert sink.rows.keys() == {("latency", number) for number in range(1, 20)}
    assert [(one.first, one.waiting) for one in aside.latest(9)] == [(20, False)]
    assert exporter.exported == 19
    assert not exporter.step()
    aside.drop()
    assert (aside.rows(), aside.dropped_rows()) == (0, 1)


def test_a_range_that_is_sent_again_counts_what_had_been_refused_of_it(journal: Journal) -> None:
    fill(journal, range(10))
    sink = ListSink()
    exporter = exporter_of(journal, sink)
    refusals = [[RowRefusal(1, 20, 3, "old", beyond_limit=True)], [RowRefusal(1, 20, 1, "old", beyond_limit=True)]]
    sink.write = lambda batch: refusals.pop(0)  # type: ignore[method-assign]  # noqa: ARG005
    exporter.step()
    assert (exporter.exported, exporter.backlog.set_aside.rows()) == (17, 3)
    exporter.retry()
    exporter.step()
    assert (exporter.exported, exporter.backlog.set_aside.rows()) == (19, 1)


def test_rows_that_are_refused_again_to_the_last_stay_set_aside_and_hold_up_nothing(journal: Journal) -> None:
    fill(journal, range(2))
    sink = ListSink()
    sink.bad = {1, 2}
    exporter = exporter_of(journal, sink)
    exporter.step()
    exporter.retry()
    fill(journal, range(2, 3))
    assert exporter.step()
    assert (exporter.trouble, exporter.backlog.set_aside.rows(), exporter.backlog.lag_rows()) == (None, 2, 0)


def test_what_is_set_aside_is_bounded_and_what_goes_is_counted(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_aside_module, "KEPT_ENTRIES", 5)
    fill(journal, range(10))
    sink = ListSink()
    sink.bad = set(range(1, 9))
    exporter = exporter_of(journal, sink)
    exporter.step()
    aside = exporter.backlog.set_aside
    assert [one.first for one in aside.latest(9)] == [8, 7, 6, 5, 4]
    assert (aside.rows(), aside.dropped_rows()) == (5, 3)


def test_rows_that_retention_deleted_are_no_longer_sent_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.duckdb", keep_days=1)
    fill(journal, range(2))
    sink = ListSink()
    sink.bad = {1}
    exporter = exporter_of(journal, sink)
    exporter.step()
    with journal.database.transaction() as connection:
        connection.execute("DELETE FROM latency_rows")
    sink.bad = set()
    exporter.retry()
    exporter.step()
    assert (exporter.exported, exporter.backlog.set_aside.rows()) == (3, 0)
    assert exporter.backlog.set_aside.dropped_rows() == 1
    journal.close()


class HangingSink(ListSink):
    """A write that does not return until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.let_go, self.left = threading.Event(), threading.Event(), threading.Event()

    def write(self, batch: RowBatch) -> Sequence[RowRefusal]:
        self.reached.set()
        self.let_go.wait()
        try:
            return super().write(batch)
        finally:
            self.left.set()


async def test_an_end_waits_for_no_write_and_a_write_that_ends_later_moves_no_cursor(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter_module, "STOP_LIMIT_S", 0.1)
    fill(journal, range(5))
    sink = HangingSink()
    exporter = exporter_of(journal, sink)
    async with running(exporter):
        await until(sink.reached.is_set)
        exporter.close(0.05)
    assert not sink.left.is_set()
    sink.let_go.set()
    exporter._thread.join()
    assert sink.left.is_set()
    assert (exporter.backlog.lag_rows(), exporter.exported) == (10, 0)


async def test_an_end_breaks_off_a_long_search_for_bad_rows(journal: Journal) -> None:
    journal.commit([entry(latency(seq)) for seq in range(512)])

    class HalvingSink(HangingSink):
        def write(self, batch: RowBatch) -> Sequence[RowRefusal]:
            self.sizes.append(len(batch))
            self.reached.set()
            self.let_go.wait()
            raise BatchRefusedError("bad")

    sink = HalvingSink()
    exporter = exporter_of(journal, sink)
    async with running(exporter):
        await until(sink.reached.is_set)
        exporter.stop()
        sink.let_go.set()
    assert sink.sizes == [512]
    assert exporter.backlog.lag_rows() == 512


def test_sinks_that_were_opened_are_closed_where_one_can_never_work(journal: Journal) -> None:
    tables = {name: ListSettings() for name in ("good", "impossible")}
    with pytest.raises(OperatorError, match=r"^sinks\.impossible: never$"):
        Exporters(journal.database, tables, BROKER)
    assert SINKS["good"].closed


def test_a_stream_is_named_alike_after_a_restart_and_otherwise_in_another_journal(tmp_path: Path) -> None:
    names: list[str] = []
    for file in ("one", "one", "two"):
        journal = Journal(tmp_path / file)
        fill(journal, [len(names)])
        batch = exporter_of(journal, ListSink()).backlog.next("latency", 1)
        assert batch is not None
        names.append(batch.stream)
        journal.close()
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(
    ("error", "failures", "seconds"),
    [
        (SinkAwayError("why"), 1, 1.0),
        (SinkAwayError("why"), 3, 4.0),
        (SinkAwayError("why"), 99, 60.0),
        (SinkAwayError("why", 120.0), 1, 120.0),
        (SinkAwayError("why", 0.0), 5, 1.0),
        (SinkSetupError("why"), 1, 30.0),
        (SinkSetupError("why"), 7, 30.0),
        (ZeroDivisionError("why"), 1, 60.0),
    ],
)
def test_how_long_to_wait(monkeypatch: pytest.MonkeyPatch, error: Exception, failures: int, seconds: float) -> None:
    monkeypatch.setattr(exporter_module, "OPERATOR_RETRY_S", 30.0)
    backoff = Backoff(1.0, exporter_module.RETRY_MAX_S)
    backoff_s = [backoff.next_s() for _ in range(failures)][-1]
    assert trouble_of(error, backoff_s).wait_s == seconds


def test_a_step_that_takes_long_is_followed_by_a_longer_wait_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_module, "POLL_S", 1.0)
    assert [exporter_module.rest_s(took_s) for took_s in (0.0, 0.01, 0.05, 3.0)] == [1.0, 1.0, 5.0, 5.0]
