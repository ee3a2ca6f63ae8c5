from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from collector.store.journal import Journal
from collector.store.recorded_rows import METRICS, RecordedRows, metric_source
from linkweather.wire import DeviceRow, Hop, LatencyRow, PathReport
from tests.collector.report_samples import NOON, capacity, entry, latency, path, recorded_rows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.duckdb"


def test_history_gives_quantiles_by_bucket_and_leaves_out_rows_without_a_value(file: Path) -> None:
    journal = Journal(file)
    journal.commit([entry(latency(seq)) for seq in range(1, 6)])  # 1 to 5 ms at 12:00:01 to 12:00:05
    journal.commit([entry(latency(6, rtt_p50_s=None)), entry(latency(7, peers=("c",)))])
    until = NOON + timedelta(minutes=1)
    buckets = RecordedRows(journal.database).history("a", "b", "rtt_p50_s", since=NOON, until=until, step_s=4)
    assert [bucket.at for bucket in buckets] == [NOON, NOON + timedelta(seconds=4)]
    assert [tuple(bucket.model_dump(exclude={"at"}).values()) for bucket in buckets] == [
        pytest.approx((3, 0.001, 0.002, 0.0029, 0.003)),
        pytest.approx((2, 0.004, 0.0045, 0.00495, 0.005)),
    ]


def test_a_prober_s_own_figures_are_kept_as_a_map_and_have_a_history(file: Path) -> None:
    journal = Journal(file)
    figures = {"connect_s": 0.012, "status": 200.0, "tiny": 1e-9}
    journal.commit([entry(latency(1, figures=figures)), entry(latency(2))])
    journal.commit([entry(latency(3, figures={"connect_s": 0.014}))])
    assert [kept.row.figures for kept in recorded_rows(journal.database) if isinstance(kept.row, LatencyRow)] == [
        figures,
        None,
        {"connect_s": 0.014},
    ]
    assert journal.database.rows("SELECT figures['status'] FROM latency ORDER BY seq") == [(200.0,), (None,), (None,)]
    (bucket,) = RecordedRows(journal.database).history(
        "a", "b", "figures.connect_s", since=NOON, until=NOON + timedelta(hours=1), step_s=3600
    )
    assert (bucket.count, bucket.min, bucket.max) == (2, 0.012, 0.014)


def test_a_figure_s_metric_is_a_name_and_nothing_else() -> None:
    assert metric_source("figures.connect_s") == ("latency", "figures['connect_s']")
    for metric in (
        "figures",
        "figures.",
        "figures.A",
        "figures.a'] --",
        "figures.a\n",
        "connect_s",
        f"figures.{'a' * 33}",
    ):
        assert metric_source(metric) is None


def test_history_knows_every_number_of_the_contract_and_nothing_else() -> None:
    assert METRICS["rtt_p50_s"] == "latency"
    assert METRICS["goodput_bps"] == "throughput"
    assert METRICS["path_mtu_bytes"] == "path"
    assert not METRICS.keys() & {"src", "failure", "hops", "during_throughput", "number"}


def test_capacities_are_recorded_once_and_the_newest_of_each_type_comes_back(file: Path) -> None:
    journal = Journal(file)
    reports = [
        capacity(1, DeviceRow(type="a100", total=8, free=8), DeviceRow(type="h100", total=4)),
        capacity(3, DeviceRow(type="a100", total=8, free=2, queue_s=60.0, usd_per_device_hour=2.5)),
        capacity(2, DeviceRow(type="a100", total=8, free=5)),
    ]
    assert len(journal.commit([entry(report) for report in reports])) == 3
    assert journal.commit([entry(reports[0])]) == []
    journal.close()
    reopened = Journal(file)
    found = RecordedRows(reopened.database).capacities()
    assert [(one.site, one.at, one.row) for one in found] == [
        ("a", reports[1].at, reports[1].devices[0]),
        ("a", reports[0].at, reports[0].devices[1]),
    ]
    assert recorded_rows(reopened.database) == []
    assert reopened.commit([entry(capacity(4, DeviceRow(type="a100", total=8)))])
    assert reopened.database.rows("SELECT number FROM capacity ORDER BY number") == [(n,) for n in range(1, 6)]


def test_the_newest_capacity_is_that_of_the_highest_number_and_between_boots_of_the_later_time(file: Path) -> None:
    """A clock 50 min ahead that was then corrected, and another boot before that."""
    journal = Journal(file)
    other = capacity(2, DeviceRow(type="a100", total=1)).model_copy(update={"boot": "boot-0"})
    ahead = entry(capacity(3000, DeviceRow(type="a100", total=2)).model_copy(update={"seq": 1}), after_s=-2997)
    corrected = entry(capacity(4, DeviceRow(type="a100", total=3)))
    journal.commit([entry(other), ahead, corrected])
    assert [(one.seq, one.row.total) for one in RecordedRows(journal.database).capacities()] == [(4, 3)]


def test_history_shows_a_row_from_a_clock_that_is_ahead_where_it_arrived(file: Path) -> None:
    journal = Journal(file)
    journal.commit([entry(latency(7200), after_s=-7195)])
    (bucket,) = RecordedRows(journal.database).history(
        "a", "b", "rtt_p50_s", since=NOON, until=NOON + timedelta(seconds=60), step_s=5.0
    )
    assert bucket.at == NOON + timedelta(seconds=5)


def test_the_addresses_of_a_path_are_those_of_the_newest_trace_that_arrived(file: Path) -> None:
    def traced(seq: int, dst: str, *routers: str | None, reached: bool = True) -> PathReport:
        report = path(seq, "f", dst=dst)
        hops = tuple(Hop(ttl=ttl, address=address) for ttl, address in enumerate((*routers, f"host-{dst}"), 1))
        row = report.links[0].model_copy(update={"hops": hops, "reached": reached})
        return report.model_copy(update={"links": (row,)})

    journal = Journal(file)
    traces = [traced(1, "b", "old"), traced(2, "b", "r1", None, "r3"), traced(3, "b", "r1", reached=False)]
    journal.commit([entry(report) for report in (*traces, traced(4, "c", "damaged"), traced(5, "d", "r4"))])
    journal.database.rows("UPDATE path SET hops = '[{' WHERE dst = 'c'")
    assert sorted(RecordedRows(journal.database).newest_paths()) == [
        ("a", "b", ["r1", "r3", "host-b"]),
        ("a", "d", ["r4", "host-d"]),
    ]
