"""Reports to try the record with: plain values that a test can predict."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from collector.cluster.cluster_links import ClusterLinks
from collector.linkstate.link_answers import whole_answers
from collector.linkstate.link_states import LinkStates
from collector.linkstate.report_moments import ReportMoment
from collector.store.columns import LINK_TABLES, REPORT_COLUMNS, Entry, Recorded, readable
from collector.store.database import Database
from collector.store.journal import Journal
from collector.store.roll_ups import RollUps
from linkweather.models.state import LinkAnswer
from linkweather.wire import (
    AnyReport,
    CapacityReport,
    DeviceRow,
    Hop,
    LatencyReport,
    LatencyRow,
    PathReport,
    PathRow,
    ThroughputReport,
    ThroughputRow,
)

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def latency(seq: int, *, site: str = "a", peers: tuple[str, ...] = ("b",), **fields: Any) -> LatencyReport:
    """A report at noon plus `seq` seconds, with an RTT of `seq` milliseconds."""
    values = {"sent": 50, "received": 49, "rtt_p50_s": seq / 1000, "timestamp": "kernel", **fields}
    rows = tuple(LatencyRow(src=site, dst=peer, method="stamp", **values) for peer in peers)
    return LatencyReport(boot="boot-1", seq=seq, at=NOON + timedelta(seconds=seq), links=rows)


def throughput(seq: int, *, src: str = "a", dst: str = "b", **fields: Any) -> ThroughputReport:
    """A test whose receiver saw 10 Mbit/s, unless `fields` say otherwise."""
    values = {"goodput_bps": 1e7, "bytes": 3_750_000, **fields}
    row = ThroughputRow(src=src, dst=dst, method="iperf3", **values)
    return ThroughputReport(boot="boot-1", seq=seq, at=NOON + timedelta(seconds=seq), links=(row,))


def path(seq: int, fingerprint: str | None, *, src: str = "a", dst: str = "b") -> PathReport:
    """A trace over two routers, the second of which stays silent."""
    hops = (Hop(ttl=1, address="192.0.2.1", rtt_s=0.001), Hop(ttl=2))
    row = PathRow(src=src, dst=dst, method="udp", hops=hops, fingerprint=fingerprint, changed=False)
    return PathReport(boot="boot-1", seq=seq, at=NOON + timedelta(seconds=seq), links=(row,))


def capacity(seq: int, *devices: DeviceRow) -> CapacityReport:
    """What a site has for jobs at noon plus `seq` seconds."""
    return CapacityReport(boot="boot-1", seq=seq, at=NOON + timedelta(seconds=seq), devices=devices)


def recorded_rows(database: Database) -> list[Recorded[Any]]:
    """The rows of links in a journal, kind by kind, in the order of commit."""
    found: list[Recorded[Any]] = []
    for table in LINK_TABLES.values():
        names = ", ".join(f'"{name}"' for name in (*REPORT_COLUMNS, *table.fields))
        rows = database.rows(f"SELECT {names} FROM {table.kind} ORDER BY number")  # noqa: S608 - names from our table
        found += readable(table, rows)
    return found


def pruned(journal: Journal, now: datetime) -> int:
    """Roll up, and delete what is too old then; how many rows that were."""
    list(RollUps(journal.database, math.inf).roll(now))
    return sum(journal.prune(now))


def every_link(links: LinkStates | ClusterLinks, now: float) -> list[LinkAnswer]:
    """What is known of each link, in the mesh's order, without next tests."""
    return list(whole_answers(links.table(now)))


def moment(at: float, boot: str = "boot-1", seq: int | None = None) -> ReportMoment:
    """The moment of a report that ended `at`, in seconds, the number being as many tenths where none is given."""
    return ReportMoment(at, boot, round(at * 10) if seq is None else seq)


def entry(report: AnyReport, site: str = "a", after_s: float = 1) -> Entry:
    """The report as it arrived, a second after it was made."""
    return Entry(site, report, report.at + timedelta(seconds=after_s))
