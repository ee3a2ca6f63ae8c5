"""Whatever breaks, every report is in the journal and in InfluxDB once, or counted as dropped by a limit."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from probes.delivery.outbox import Outbox
from tests import servers
from tests.chaos.chaos_run import LIMIT_BYTES, LIMITED, begin, compare, drain, run, scheduled, wait_exported
from tests.chaos.mesh_of_processes import system
from tests.chaos.records import read_outbox, watch
from tests.chaos.small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.timeout(300)

# Of this seed the archive is away, and later the collector unheard, before anything else befalls either of them: so the
# run notices a cursor that moves without a write, and keys that a restart forgets.
SEED, FAULTS, GAP_S = 13673, 15, (0.2, 1.8)


def test_whatever_breaks_at_whatever_moment_every_report_is_recorded_once(tmp_path: Path) -> None:
    outcome = run(tmp_path, scheduled(FAULTS, GAP_S), SEED, print)
    assert outcome.complaints == []
    assert sum(line.committed for line in outcome.balance.lines) > 200
    assert all(line.in_influx == line.rows > 0 for line in outcome.balance.lines)


def test_while_the_collector_is_away_reports_wait_and_then_arrive(tmp_path: Path) -> None:
    with system(tmp_path, ("a", "b")) as found:
        begin(found)
        found.parts["collector"].stop()
        servers.wait_until(lambda: len(found.record("probe a").waiting) >= 10, "reports wait")
        found.parts["probe a"].stop()
        waited = len(found.record("probe a").waiting)
        found.start("collector")
        servers.wait_until(found.answers, "the collector is ready")
        servers.wait_until(lambda: found.sites_seen()["a"].outbox_reports == waited, "the goodbye says how many wait")
        found.start("probe a")
        drain(found)
        assert found.sites_seen()["a"].outbox_reports == 0
        wait_exported(found)
        assert compare(found).differences == []


def test_a_full_outbox_drops_the_oldest_and_the_site_says_how_many(tmp_path: Path) -> None:
    with system(tmp_path, (LIMITED,), outbox_max_bytes={LIMITED: LIMIT_BYTES}) as found:
        begin(found, silent_peers=29)
        found.parts["collector"].kill()
        log = found.parts[f"probe {LIMITED}"].log
        servers.wait_until(lambda: "the outbox is full" in log.read_text(), "the outbox overflows")
        found.parts[f"probe {LIMITED}"].stop()
        before = found.record(f"probe {LIMITED}")
        assert before.waiting
        found.start("collector")
        servers.wait_until(found.answers, "the collector is ready")
        assert before.dropped >= 1
        servers.wait_until(
            lambda: found.sites_seen()[LIMITED].dropped_reports == before.dropped, "the API says how many"
        )
        found.start(f"probe {LIMITED}")
        drain(found)
        wait_exported(found)
        result = compare(found)
        assert result.differences == []
        # One line an opening of the outbox; the last says what the outbox dropped, after its second start as well.
        written, committed = (sum(getattr(line, name) for line in result.lines) for name in ("written", "committed"))
        dropped = result.lines[-1].dropped
        assert dropped == found.record(f"probe {LIMITED}").dropped >= before.dropped
        # What was dropped after its acknowledgement got lost is in the journal all the same.
        assert written - dropped <= committed < written
        assert found.tracebacks() == []


def test_what_an_outbox_was_given_is_noted_for_good_and_only_that(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    watch(path, boot="b1")
    outbox = Outbox(path, new_boot=lambda: "b2")

    def encoded(boot: str, seq: int) -> bytes:
        return f'{{"boot": "{boot}", "seq": {seq}, "at": "2025-01-01T00:00:00Z", "links": [{{}}, {{}}]}}'.encode()

    def broken(_boot: str, _seq: int) -> bytes:
        raise sqlite3.OperationalError("database or disk is full")

    for encode in (encoded, broken, encoded):
        outbox.add("latency", encode)
    outbox.committed("b2", [0, 1])
    outbox.close()
    record = read_outbox(path, "a", may_drop=False)
    assert sorted(record.written) == [("a", "b2", 0), ("a", "b2", 1)]
    assert {report.rows for report in record.written.values()} == {2}
    assert (record.waiting, record.dropped) == (frozenset(), 1)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
def test_a_small_disk_fills_up_and_becomes_read_only(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2**20) as disk:
        assert isinstance(disk, SmallDisk)
        disk.fill()
        assert not written(tmp_path / "disk" / "one")
        disk.empty()
        assert written(tmp_path / "disk" / "two")
        disk.fill()
        disk.make_read_only()
        assert not written(tmp_path / "disk" / "three")
        disk.empty()
        disk.make_writable()
        assert written(tmp_path / "disk" / "four")
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["four", "one", "two"]
    assert not (tmp_path / "disk").is_mount()


def written(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.write_bytes(bytes(4096)) == 4096
    return False
