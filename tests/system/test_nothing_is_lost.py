"""Every process dies at random moments, and every report is in the journal, and in InfluxDB, once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.system.mesh_of_processes import System, system

pytestmark = pytest.mark.timeout(120)

# Often enough that something is under way at whatever moment somebody dies.
BUSY = """
[latency]
interval_s = 0.02
timeout_s = 0.1
report_interval_s = 0.1
[throughput]
enabled = false
[path]
enabled = false
"""
SILENT = "links = []"
SITES = ("a", "b", "c")


@pytest.fixture
def three(tmp_path: Path) -> Iterator[System]:
    with system(tmp_path, SITES) as found:
        found.write_mesh(found.addresses, BUSY)
        yield found


def drain(found: System) -> None:
    """Measure no more, wait until all that was measured is committed, and end the probes."""
    found.write_mesh(found.addresses, BUSY, SILENT)
    servers.wait_until(found.answers, "the collector is ready")
    waiting = list(found.sites)

    def drained() -> bool:
        for site in list(waiting):
            found.parts[f"probe {site}"].stop()
            if found.outbox(site).waiting:
                found.start(f"probe {site}")
            else:
                waiting.remove(site)
        return not waiting

    servers.wait_until(lambda: settled(found), "reports come no more")
    servers.wait_until(drained, "the outboxes are empty")


def settled(found: System) -> bool:
    """Whether no report came within a few intervals."""
    before = found.committed_reports()
    time.sleep(0.5)
    return found.committed_reports() == before


def check_record(found: System) -> int:
    """Every report that an outbox numbered and did not drop is in the journal once; returns the rows."""
    found.parts["collector"].stop()
    ranges = found.journal_rows("SELECT site, boot, first, last FROM received")
    rows = found.journal_rows("SELECT site, boot, seq, dst, count(*) FROM latency GROUP BY ALL")
    assert {count for *_, count in rows} == {1}
    for site in found.sites:
        outbox = found.outbox(site)
        assert (outbox.waiting, outbox.refused) == (0, 0)
        received = [seq for where, _, first, last in ranges for seq in range(first, last + 1) if where == site]
        assert sorted(received) == list(range(outbox.dropped, outbox.numbered))
        with_rows = {(boot, seq) for where, boot, seq, *_ in rows if where == site}
        assert with_rows == {(outbox.boot, seq) for seq in received}
    ((rows_of_all,),) = found.journal_rows("SELECT count(*) FROM latency")
    return int(rows_of_all)


@pytest.mark.parametrize("seed", [1])
def test_whatever_dies_at_whatever_moment_every_report_is_recorded_once(three: System, seed: int) -> None:
    rng = random.Random(seed)
    three.start(*three.parts)
    servers.wait_until(lambda: three.committed_reports() > 20, "reports are committed")
    victims = [*three.parts] * 2
    rng.shuffle(victims)
    for name in victims:
        time.sleep(rng.uniform(0.05, 0.6))
        three.parts[name].kill()
        time.sleep(rng.uniform(0.0, 0.4))
        three.start(name)
    drain(three)
    servers.wait_until(lambda: three.lag_rows() == 0, "the exporter has written everything")
    points = three.influx_points()
    rows = check_record(three)
    assert points == rows > 200
    assert three.tracebacks() == []


def test_while_the_collector_is_away_reports_wait_and_then_arrive(three: System) -> None:
    three.start("broker", "influx", "collector", "probe a", "probe b", "probe c")
    servers.wait_until(lambda: three.committed_reports() > 5, "reports are committed")
    three.parts["collector"].stop()
    time.sleep(2.0)
    three.parts["probe a"].stop()
    waited = three.outbox("a").waiting
    assert waited >= 10
    three.start("collector")
    servers.wait_until(three.answers, "the collector is ready")
    servers.wait_until(lambda: three.sites_seen()["a"].outbox_reports == waited, "the goodbye says how many wait")
    three.start("probe a")
    drain(three)
    assert three.sites_seen()["a"].outbox_reports == 0
    check_record(three)


def test_a_full_outbox_drops_the_oldest_and_the_site_says_how_many(tmp_path: Path) -> None:
    nobody = {f"silent-{number}": f"192.0.2.{number}" for number in range(1, 30)}
    with system(tmp_path, ("a",), outbox_max_bytes=65536) as found:
        found.write_mesh({**found.addresses, **nobody}, BUSY)
        found.start("broker", "collector", "probe a")
        servers.wait_until(lambda: found.committed_reports() > 2, "reports are committed")
        found.parts["collector"].kill()
        log = found.parts["probe a"].log
        servers.wait_until(lambda: "the outbox is full" in log.read_text(), "the outbox overflows")
        found.parts["probe a"].stop()
        outbox = found.outbox("a")
        assert outbox.dropped >= 1
        assert outbox.waiting >= 1
        found.write_mesh({**found.addresses, **nobody}, BUSY, SILENT)
        found.start("collector")
        servers.wait_until(found.answers, "the collector is ready")
        servers.wait_until(lambda: found.sites_seen()["a"].dropped_reports == outbox.dropped, "the API says so")
        found.start("probe a")
        servers.wait_until(lambda: found.committed_reports() >= outbox.waiting, "what was kept arrives")
        found.parts["probe a"].stop()
        found.parts["collector"].stop()
        ranges = found.journal_rows("SELECT first, last FROM received WHERE site = 'a' ORDER BY first")
        seqs = [seq for first, last in ranges for seq in range(first, last + 1)]
        after = found.outbox("a")
        assert len(seqs) == len(set(seqs)) == after.numbered - after.dropped
        assert seqs[-outbox.waiting :] == list(range(outbox.numbered - outbox.waiting, outbox.numbered))
        assert found.tracebacks() == []
