"""Makes what a release leaves on disk, for the tests of later ones: `python -m tests.packaging.release_files 0.2.0`.

Run once at each release, as root, in its checkout. A demo of 40 s in a network of its own makes journal, outboxes,
routes and histories; its rows are rolled up; to one outbox come reports that nobody has committed. With the example
settings they are packed into releases/VERSION/files.tar.xz; facts.json says what must be found in them.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from collector.store.journal import JOURNAL_FILE, Journal
from collector.store.roll_ups import RollUps
from linkweather.wire import LatencyReport, LatencyRow, encode
from probes.delivery.outbox import Outbox

ROOT = Path(__file__).parents[2]
RELEASES = Path(__file__).parent / "releases"
SITE = "bj"
WAITING = 3
_PROGRAM = f"{sys.executable} -P -m linkweather"
# Keys are secrets, and each start makes those that it lacks.
_LEFT_OUT = shutil.ignore_patterns("keys", "logs", "mosquitto.*")


def main(release: str) -> None:
    """Leave the release's folder. Raises CalledProcessError where the demo fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        demo = f"ip link set lo up; exec {_PROGRAM} demo --engine loopback --sites 3 --for 40s --json"
        subprocess.run(
            ["unshare", "--net", "sh", "-c", demo], cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=300
        )
        files = folder / "files"
        shutil.copytree(folder / "demo-data", files, ignore=_LEFT_OUT)
        (files / "config").mkdir()
        for example in (ROOT / "config").glob("*.toml"):
            shutil.copy(example, files / "config")
        facts = {**_add_waiting(files / "sites" / SITE / "outbox.sqlite"), **_journal(files / "collector")}
        _pack(files, facts, RELEASES / release)


def _add_waiting(path: Path) -> dict[str, object]:
    """Add reports that wait for a collector; what then waits, and in which boot."""
    outbox = Outbox(path, new_boot=lambda: "boot-of-the-release")
    row = LatencyRow(src=SITE, dst="yd", method="stamp", sent=50, received=50, rtt_p50_s=0.02)

    def report(boot: str, seq: int) -> bytes:
        return encode(LatencyReport(boot=boot, seq=seq, at=datetime.now(UTC), links=(row,)))

    for _ in range(WAITING):
        outbox.add("latency", report)
    facts: dict[str, object] = {"made_by": version("linkweather"), "boot": outbox.boot, "waiting": outbox.oldest(10**6)}
    outbox.close()
    return facts


def _journal(folder: Path) -> dict[str, object]:
    """Roll its rows up, for roll-ups are kept for ever, before their hour is over; what is then in it."""
    journal = Journal(folder / JOURNAL_FILE)
    list(RollUps(journal.database, math.inf).roll(datetime.now(UTC) + timedelta(hours=1)))
    journal.close()
    command = [*_PROGRAM.split(), "journal", "check", "--data-dir", str(folder), "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {"reports": found["reports"], "rows": found["rows"]}


def _pack(files: Path, facts: dict[str, object], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "files.tar.xz", "w:xz", preset=9) as archive:
        archive.add(files, arcname=".")
    (folder / "facts.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
