"""What happens to files of daemons that are killed: cut, flipped, overwritten, gone; where, follows from the seed."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.chaos.stage import Stage

ROUNDS: Final = 3  # damages a run, each at another place
_LOG: Final = "journal.duckdb.wal"
_HEADER_BYTES: Final = 4096  # of a log, more than its header: it is damaged where commits are
_ZEROS: Final = 512  # of which DuckDB's checksum sees nothing where pairs of equal words go, see `collector.store.wal`
# What the daemons keep beside reports: any of it may be garbage.
_SITE_FILES: Final = (
    "ledger.sqlite",
    "tests.sqlite",
    "routes.sqlite",
    "mesh.json",
    "followed-journal",
    "outbox.sqlite.unstored",
    "keys/iperf3-private.pem",
    "keys/iperf3-public.pem",
    "keys/iperf3-keys.sha256",
)
_COLLECTOR_FILES: Final = ("journal.duckdb.id", "journal.duckdb.acknowledged")


def _overwritten(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def _cut(path: Path, rng: random.Random) -> None:
    with path.open("r+b") as file:
        file.truncate(rng.randrange(_HEADER_BYTES, path.stat().st_size))


def _flip(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    at = rng.randrange(_HEADER_BYTES, len(content))
    _overwritten(path, at, bytes([content[at] ^ 1 << rng.randrange(8)]))


def _zero(path: Path, rng: random.Random) -> None:
    size = path.stat().st_size
    _overwritten(path, rng.randrange(_HEADER_BYTES, size - _ZEROS), bytes(_ZEROS))


_LOG_DAMAGES: Final = (_cut, _flip, _zero)
# What a power cut may leave behind the last whole commit, which no site heard of.
_TORN_ENDS: Final[Mapping[str, Callable[[bytes, random.Random], bytes]]] = {
    "zeros": lambda _, rng: bytes(rng.randrange(16, 8192)),
    "garbage": lambda _, rng: rng.randbytes(rng.randrange(16, 8192)),
    "half a commit": lambda log, rng: log[-rng.randrange(64, 2000) : -rng.randrange(1, 40)],
}


def damage_journal_log(stage: Stage) -> None:
    """Cut the journal's log, flip a bit in it, and zero a piece of it."""
    for damage in stage.rng.sample(_LOG_DAMAGES, len(_LOG_DAMAGES)):
        stage.injector.note(f"     the journal's log: {damage.__name__.strip('_')}")
        with stage.down("collector"):
            damage(stage.found.journal.with_name(_LOG), stage.rng)
        stage.more()
    assert list(stage.found.journal.parent.glob(f"{_LOG}.damaged-*")), "no damaged log is set aside"


def tear_last_commit(stage: Stage) -> None:
    """Leave a torn end behind the journal's log."""
    for name, torn in _TORN_ENDS.items():
        stage.injector.note(f"     behind the last commit: {name}")
        with stage.down("collector"):
            log = stage.found.journal.with_name(_LOG)
            log.write_bytes(log.read_bytes() + torn(log.read_bytes(), stage.rng))
        stage.more()


def lose_journal(stage: Stage) -> None:
    """Delete the journal's file; its log stays."""
    stage.more()
    with stage.down("collector"):
        stage.found.journal.unlink()
    stage.said("collector", "is gone, its log stays")
    stage.more()


def damage_outbox_page(stage: Stage) -> None:
    """Overwrite a page of an outbox in which reports wait."""
    for _ in range(ROUNDS):
        _let_reports_wait(stage)
        with stage.changed("probe b") as folder:
            outbox = folder / "outbox.sqlite"
            with contextlib.closing(sqlite3.connect(outbox)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # it is in pages now
            page = stage.rng.randrange(outbox.stat().st_size // 4096)
            content = stage.rng.choice([bytes(4096), stage.rng.randbytes(4096)])
            stage.injector.note(f"     page {page + 1} of {outbox.stat().st_size // 4096} of the outbox is overwritten")
            _overwritten(outbox, page * 4096, content)
        stage.more()


def flip_byte_in_report(stage: Stage) -> None:
    """Flip a byte in each of more waiting reports than are in flight at once."""
    _let_reports_wait(stage)
    with stage.changed("probe b") as folder, contextlib.closing(sqlite3.connect(folder / "outbox.sqlite")) as db, db:
        waiting = db.execute("SELECT seq, payload FROM report ORDER BY seq").fetchall()
        for seq, payload in waiting[: len(waiting) * 3 // 4]:
            at = stage.rng.randrange(len(payload))
            flipped = payload[:at] + bytes([payload[at] ^ 1 << stage.rng.randrange(8)]) + payload[at + 1 :]
            db.execute("UPDATE report SET payload = ? WHERE seq = ?", (flipped, seq))
    stage.said("probe b", "waiting reports of the outbox")
    stage.more()


def _let_reports_wait(stage: Stage) -> None:
    stage.injector.ways.turn("probe b → broker", "cut")
    stage.wait(lambda: len(stage.found.record("probe b").waiting) > 150, "reports wait")


def write_garbage(stage: Stage) -> None:
    """Replace every file that a daemon keeps beside reports by nothing, zeros or garbage."""
    for _ in range(ROUNDS):
        for part, folder, names in (
            ("probe b", stage.found.folder / "b", _SITE_FILES),
            ("collector", stage.found.journal.parent, _COLLECTOR_FILES),
        ):
            with stage.down(part):
                for path in (folder / name for name in names):
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(stage.rng.choice([b"", bytes(512), stage.rng.randbytes(512)]))
        stage.more()
