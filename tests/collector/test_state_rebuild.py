"""What a start reads back is what the last run knew: the same reports, observed live and rebuilt from a journal."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collector.linkstate.link_states import LinkStates
from collector.linkstate.report_moments import ReportMoment
from collector.linkstate.site_devices import Capacities
from collector.linkstate.site_states import SiteStates
from collector.linkstate.snapshot import Snapshot
from collector.settings import CapacitySettings, StateSettings
from collector.state_rebuild import rebuild
from collector.store import recorded_columns
from collector.store.columns import Entry
from collector.store.journal import Journal
from linkweather.containment import faults
from linkweather.mesh import Mesh
from linkweather.wire import (
    AnyReport,
    DeviceRow,
    Hop,
    LatencyReport,
    LatencyRow,
    LinkReport,
    Outage,
    PathReport,
    PathRow,
    ThroughputReport,
    ThroughputRow,
)
from tests.collector.report_samples import NOON, capacity, entry, every_link

MESH = Mesh.model_validate({"sites": {site: {"address": f"192.0.2.{number}"} for number, site in enumerate("abcd", 1)}})
LAST_S = 900


def latency(chance: random.Random, src: str, dst: str) -> LatencyRow:
    """A row of a link: d answers no probe, probes of c are few, and those to a are not counted."""
    ends: dict[str, Any] = {"src": src, "dst": dst, "method": chance.choice(["stamp", "http"])}
    if chance.random() < 0.1:
        return LatencyRow(**ends, failure=chance.choice(["peer_restarting", "timeout"]), detail="why")
    if dst == "d":
        lasts = (Outage(start=NOON, lost=20),) if chance.random() < 0.7 else None
        return LatencyRow(**ends, sent=50, received=0, lost_forward=30, lost_back=20, outages=lasts)
    sent = {"c": 1, "a": 0}.get(dst, 50)
    return LatencyRow(
        **ends,
        sent=sent,
        received=sent,
        rtt_p50_s=round(chance.uniform(0.01, 0.02), 6),
        rtt_p95_s=0.02 if chance.random() < 0.5 else None,
        timestamp="kernel",
        address="192.0.2.9" if dst == "a" else None,
        figures={"status": 200.0} if dst == "a" and chance.random() < 0.5 else None,
        during_throughput=chance.random() < 0.1,
    )


def throughput(chance: random.Random, src: str, dst: str) -> ThroughputRow:
    ends: dict[str, Any] = {"src": src, "dst": dst, "method": "iperf3"}
    if chance.random() < 0.3:
        return ThroughputRow(**ends, failure="refused")
    return ThroughputRow(**ends, goodput_bps=round(chance.uniform(1e8, 2e8)), limited_by="network")


def path(chance: random.Random, src: str, dst: str) -> PathRow:
    ends: dict[str, Any] = {"src": src, "dst": dst, "method": "udp"}
    if chance.random() < 0.2:
        return PathRow(**ends, failure="permission")
    hops = (Hop(ttl=1, address="192.0.2.7"), Hop(ttl=chance.randint(2, 9)))
    reached, changed = chance.random() < 0.5, chance.random() < 0.3
    return PathRow(**ends, hops=hops, reached=reached, fingerprint=chance.choice("fg"), changed=changed)


def history(seed: int) -> list[Entry]:
    """Reports of all sites but one that ended early, some of which arrive late; a boot ends in the middle."""
    chance, found = random.Random(seed), []
    for number, at in enumerate(range(0, LAST_S, 5)):
        for site in MESH.sites:
            if site == "b" and at > LAST_S - 60:
                continue
            peers = [peer for peer in MESH.sites if peer != site]
            key: dict[str, Any] = {"boot": f"{site}{number // 100}", "at": NOON + timedelta(seconds=at)}
            reports: list[AnyReport] = [
                LatencyReport(**key, seq=3 * number, links=tuple(latency(chance, site, peer) for peer in peers))
            ]
            if number % 20 == 3:
                tests = tuple(throughput(chance, peer, site) for peer in peers)
                reports.append(ThroughputReport(**key, seq=3 * number + 1, links=tests))
                traces = tuple(path(chance, site, peer) for peer in peers)
                reports.append(PathReport(**key, seq=3 * number + 2, links=traces))
            arrival_s = at + (1.0 if chance.random() < 0.9 else 40.0)
            found += [Entry(site, report, NOON + timedelta(seconds=arrival_s)) for report in reports]
    return sorted(found, key=lambda one: one.received_at)


def states() -> tuple[LinkStates, SiteStates, Capacities]:
    return LinkStates(MESH, StateSettings()), SiteStates(MESH), Capacities(MESH, CapacitySettings())


@pytest.mark.parametrize("seed", range(3))
def test_a_rebuilt_state_answers_as_the_one_before_it(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded_columns, "_FIGURES_ROWS", 1000)  # several pieces of each
    monkeypatch.setattr(recorded_columns, "_NEWEST_ROWS", 100)
    entries = history(seed)
    journal = Journal(tmp_path / "journal.duckdb")
    journal.commit(entries)
    live, sites, _ = states()
    for one in entries:
        assert isinstance(one.report, LinkReport)
        moment = ReportMoment.of(one.report.at, one.received_at, one.report.boot, one.report.seq)
        live.observe(moment, one.report.links)
        sites.reported(one.site, moment.at)
    rebuilt, rebuilt_sites, capacities = states()
    now = NOON + timedelta(seconds=LAST_S)
    rebuild(journal.database, rebuilt, rebuilt_sites, capacities, now)
    for at in (now.timestamp(), now.timestamp() + 250):
        assert every_link(rebuilt, at) == every_link(live, at)
        assert_same(rebuilt.snapshot(at), live.snapshot(at))
    assert rebuilt_sites.sites(now.timestamp()) == sites.sites(now.timestamp())
    journal.close()


def test_what_arrived_before_the_horizon_and_of_links_outside_the_mesh_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.duckdb")
    row = LatencyRow(src="a", dst="b", method="stamp", sent=50, received=50, rtt_p50_s=0.02)
    rows = (row, row.model_copy(update={"dst": "z"}))
    journal.commit([entry(LatencyReport(boot="x", seq=1, at=NOON, links=rows))])
    links, sites, capacities = states()
    rebuild(journal.database, links, sites, capacities, NOON + timedelta(seconds=722))
    assert {link.state for link in every_link(links, NOON.timestamp())} == {"unknown"}
    rebuild(journal.database, links, sites, capacities, NOON + timedelta(seconds=720))
    assert [link.dst for link in every_link(links, NOON.timestamp()) if link.state == "fresh"] == ["b"]
    journal.close()


def test_a_path_that_changed_long_ago_still_makes_the_goodput_before_it_stale(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.duckdb")
    test = ThroughputRow(src="a", dst="b", method="iperf3", goodput_bps=1e8)
    trace = PathRow(src="a", dst="b", method="udp", hops=(Hop(ttl=1),), fingerprint="f", changed=True)
    later = NOON + timedelta(hours=1)
    tested = ThroughputReport(boot="x", seq=1, at=NOON, links=(test, test.model_copy(update={"dst": "c"})))
    journal.commit([entry(tested), entry(PathReport(boot="x", seq=2, at=later, links=(trace,)))])
    links, sites, capacities = states()
    now = NOON + timedelta(days=1)
    rebuild(journal.database, links, sites, capacities, now)
    found = {(one.src, one.dst): one.goodput_state for one in every_link(links, now.timestamp())}
    assert (found["a", "b"], found["a", "c"]) == ("stale", "fresh")
    journal.close()


def test_devices_are_read_back_and_a_kind_that_cannot_be_read_costs_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.duckdb")
    journal.commit([entry(capacity(1, DeviceRow(type="a100", total=8)))])
    with journal.database.transaction() as connection:
        connection.execute("DROP TABLE path")
    before = faults().get("rebuild", 0)
    links, sites, capacities = states()
    rebuild(journal.database, links, sites, capacities, NOON + timedelta(seconds=5))
    assert [(found.site, found.total) for found in capacities.capacities(NOON.timestamp())] == [("a", 8)]
    assert faults()["rebuild"] == before + 2
    journal.close()


def assert_same(one: Snapshot, other: Snapshot) -> None:
    for name in Snapshot.__dataclass_fields__:
        if name not in {"sites", "at"}:
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6, err_msg=name)
