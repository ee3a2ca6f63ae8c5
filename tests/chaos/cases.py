"""Every single way in which the promise was broken once, by name: each over a whole system, by the runner of all chaos.

.venv/bin/python -m tests.chaos --case NAME
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from linkweather.atomicfile import DurableNumber
from tests import servers
from tests.chaos import broken_files, refused_rows
from tests.chaos.chaos_run import measure_no_more, wait_drained
from tests.chaos.stage import SMALL_DISKS, Scenario, Stage

CLOCK_STEPS_S: Final = (-0.01, -0.1, -1.0, -60.0, 3.0, 0.0)
TWO_HOURS_S: Final = 7200
FAILED_COMMITS: Final = 8


def restore_outbox(stage: Stage) -> None:
    """Put back an outbox that was copied while its probe was stopped."""
    _go_back(stage, running=False)


def copy_outbox(stage: Stage) -> None:
    """Put back an outbox that was copied, file by file, while its probe ran."""
    _go_back(stage, running=True)


def _go_back(stage: Stage, *, running: bool) -> None:
    folder = stage.found.folder / "b"
    copy = folder.with_name("copy-of-b")
    if not running:
        stage.injector.stop("probe b")
    shutil.copytree(folder, copy)
    stage.injector.start("probe b")
    stage.more()
    with stage.changed("probe b", destroys=True):
        shutil.rmtree(folder)
        copy.rename(folder)
    stage.more()


def halve_outbox_log(stage: Stage) -> None:
    """Cut the log of an outbox to its half."""
    for _ in range(broken_files.ROUNDS):
        with stage.changed("probe b", destroys=True) as folder:
            log = folder / "outbox.sqlite-wal"
            log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
        stage.more()


def step_clock(stage: Stage) -> None:
    """Step a site's clock back and forth."""
    for offset_s in CLOCK_STEPS_S:
        stage.injector.note(f"     the clock of b is {offset_s:g} s ahead")
        stage.found.fault("probe b", "clock", str(offset_s))
        stage.more(40)


def start_twin(stage: Stage) -> None:
    """Run a second probe with a site's id; then end the first one, and let the second take its place."""
    found = stage.found
    twin = found.add_twin("b")
    stage.watch(twin)
    stage.injector.start(twin)
    stage.said(twin, "another probe runs as site b")
    stage.said("probe b", "another probe runs as site b")
    stage.wait(lambda: len(found.record(twin).waiting) > 50, "the reports of the second probe wait")
    stage.more()
    measure_no_more(found)
    wait_drained(found, ["probe b"])
    stage.injector.stop("probe b")
    stage.injector.retire("probe b")
    stage.injector.restart(twin)
    wait_drained(found, [twin])


def set_collector_clock_back(stage: Stage) -> None:
    """Run a collector whose clock is two hours behind, then right again."""
    stage.found.fault("collector", "clock", str(-TWO_HOURS_S))
    stage.injector.restart("collector")
    stage.said("collector", " behind those of ")  # 120 min, or 2 h, as the arrival of the reports rounds it
    stage.more()
    stage.found.fault("collector", "clock", "0")
    stage.more()


def fail_commits(stage: Stage) -> None:
    """Let commits reach the disk and fail all the same: neither their sync nor their truncation succeeded."""
    asked = stage.found.folder / "fault-collector.fail-commit"
    for _ in range(FAILED_COMMITS):
        stage.found.fault("collector", "fail-commit", "")
        stage.wait(lambda: not asked.exists(), "a commit fails")
        stage.more(20)


def start_second_collector(stage: Stage) -> None:
    """Run a second collector on the same broker, restart a site and the first collector beside it, and end it."""
    found = stage.found
    found.add_collector("second", servers.free_port())
    stage.injector.start("second")
    for name in ("second", "collector", "probe a"):
        stage.said(name, "another collector" if name != "probe a" else "a second collector")
    stage.injector.restart("probe b")
    stage.more()
    stage.injector.restart("collector")
    stage.more()
    stage.injector.retire("second")
    stage.more()


def fill_probe_disk(stage: Stage) -> None:
    """Fill a probe's disk, kill the probe while it is full, and give the room back: no drop is forgotten."""
    disk = stage.injector.disks["a"]
    count_file = stage.found.folder / "a" / "outbox.sqlite.unstored"
    for _ in range(broken_files.ROUNDS):
        disk.fill()
        _wait_for_drops(stage, count_file)
        stage.injector.kill("probe a")
        stage.injector.start("probe a")
        _wait_for_drops(stage, count_file)
        disk.empty()
        stage.more()
    least = _unstored(count_file)
    stage.wait(lambda: stage.found.sites_seen()["a"].dropped_reports >= least, "the API says how many were dropped")


def _wait_for_drops(stage: Stage, count_file: Path) -> None:
    before = _unstored(count_file)
    stage.wait(lambda: _unstored(count_file) >= before + 10, "more reports are dropped and counted")


def _unstored(path: Path) -> int:
    number = DurableNumber(path)
    try:
        return number.read() or 0
    finally:
        number.close()


def fill_collector_disk(stage: Stage) -> None:
    """Fill the collector's disk, with retention on, kill the collector while it is full, and give the room back."""
    disk = stage.injector.disks["collector"]
    for _ in range(broken_files.ROUNDS):
        disk.fill()
        stage.wait(lambda: len(stage.found.record("probe b").waiting) > 30, "reports wait at the sites")
        stage.injector.restart("collector")
        stage.wait(lambda: len(stage.found.record("probe b").waiting) > 60, "more reports wait at the sites")
        disk.empty()
        stage.injector.restart_ended()
        stage.more()


CASES: Final[Mapping[str, Scenario]] = {
    "outbox-restored": Scenario("an outbox is restored from an older copy", restore_outbox),
    "outbox-copied": Scenario("an outbox is restored from a copy of the folder in use", copy_outbox),
    "outbox-log-halved": Scenario("an outbox loses half of its log", halve_outbox_log, may_drop=["b"]),
    "clock-steps-back": Scenario("a site's clock steps back and forth", step_clock, faulty=["probe b"]),
    "two-probes-one-id": Scenario("two probes run with one site id", start_twin),
    "collector-clock-behind": Scenario(
        "the collector's clock is two hours behind", set_collector_clock_back, faulty=["collector"]
    ),
    "commit-fails-on-disk": Scenario(
        "an fsync and the truncation after it both fail", fail_commits, faulty=["collector"]
    ),
    "second-collector": Scenario("a second collector runs on the broker", start_second_collector),
    "archive-refuses-all": Scenario(
        "InfluxDB answers 400 for a while", refused_rows.refuse_all_for_a_while, silent_peers=29
    ),
    "archive-refuses-some": Scenario(
        "InfluxDB refuses 3,300 rows for a field's type", refused_rows.refuse_some_rows, silent_peers=29
    ),
    "journal-log-damaged": Scenario(
        "the journal's log is cut, flipped and zeroed", broken_files.damage_journal_log, damages_journal=True
    ),
    "last-commit-torn": Scenario("the journal's log ends in a torn commit", broken_files.tear_last_commit),
    "journal-gone": Scenario("the journal is gone, its log stays", broken_files.lose_journal, damages_journal=True),
    "outbox-page-damaged": Scenario(
        "pages of an outbox are overwritten", broken_files.damage_outbox_page, may_drop=["b"]
    ),
    "report-byte-flipped": Scenario(
        "a byte of each of many waiting reports is flipped", broken_files.flip_byte_in_report, may_drop=["b"]
    ),
    "garbage-files": Scenario("ledger, keys, routes and mesh cache are garbage", broken_files.write_garbage),
    "probe-disk-full": Scenario("a probe's disk is full", fill_probe_disk, disks=SMALL_DISKS, needs_disks=True),
    "collector-disk-full": Scenario(
        "the collector's disk is full", fill_collector_disk, disks=SMALL_DISKS, needs_disks=True
    ),
}
