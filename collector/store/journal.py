"""The journal: the collector's record, one DuckDB file. When `commit` returns, a report is in it, whole and once.

The commit protocol. A probe writes a report to its outbox before it publishes it, and deletes it only when the
collector says `committed`. An outbox numbers its reports: (site, boot, seq) is a report's key, where `boot` is the id
that the outbox got when it was made. So every report arrives at least once, and again after any loss of a broker, a
connection, a collector or a `committed`. The journal makes that exactly once:

1. A batch is sorted into new reports and duplicates by their keys, within the batch and against all keys ever seen.
2. One transaction appends the rows of the new reports (a table per kind, see `columns`) and their keys (`received`).
   DuckDB syncs its log before the commit returns: rows and keys are on the disk together, or not at all.
3. Only then does the memory of keys, row numbers and path fingerprints move on. A commit that fails changes nothing and
   may be repeated.
4. Duplicates are acknowledged like new reports: their rows are on the disk already. One whose content differs is none:
   see `recorded`, by which `ingest` tells them apart.
5. A report that a site split after it may have been sent is taken whole or in parts, whichever comes first: its parts
   name it, and the first of them enters its key, too. Of one that is there whole they enter their keys alone.

Keys are kept for ever, also when retention has deleted the rows: a site that returns after a year sends nothing twice.
That is cheap, as an outbox counts one by one: memory and file keep ranges, one an outbox and one more a gap, and a
commit changes them in their place.

Rows are numbered per table in the order of commit. A sink's cursor is such a number: the sink has written every row up
to it, and rows that are committed later have higher numbers.

Damage. A file beside the journal says how many reports were ever acknowledged; a start that finds fewer keys names the
loss. What a start does about a damaged journal or log: see `journal_repair`. What reads rows back: `recorded_rows`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np

from collector.settings import JournalSettings
from collector.store import journal_damage, journal_tables, outbox_ledger
from collector.store.columns import TABLES, Entry, naive, row_columns
from collector.store.database import Database
from collector.store.journal_damage import DamageRecord, JournalDamage
from collector.store.journal_repair import is_damage
from collector.store.packed_delays import stored_in
from collector.store.report_keys import Key
from linkweather.atomicfile import DurableNumber
from linkweather.errors import OperatorError
from linkweather.private_folder import make_private
from linkweather.wire import PathRow, ThroughputRow

log = logging.getLogger(__name__)

JOURNAL_FILE = "journal.duckdb"
PRUNED_ROWS = 20_000  # in one transaction: some 20 ms

Pair = tuple[str, str]  # src, dst
RowsOf = tuple[str, datetime]  # kind and `at` of a report


def open_journal(data_dir: Path, settings: JournalSettings) -> Journal:
    """The journal in the data folder, which is made. Raises OperatorError for a folder or file that cannot be used."""
    make_private(data_dir, "data_dir")
    path = data_dir / JOURNAL_FILE
    return Journal(path, memory_limit_mb=settings.memory_limit_mb, keep_days=settings.row_days)


class Journal:
    """The record in one file. Any thread may call; every call blocks, commits wait for each other.

    Construction raises OperatorError for a file that cannot be used. Every other method raises duckdb.Error when the
    disk fails: then nothing changed, and the call may be repeated.
    """

    def __init__(self, path: Path, *, memory_limit_mb: int = 512, keep_days: float | None = None) -> None:
        self._path = path
        self.database = Database(path, memory_limit_mb=memory_limit_mb)
        self._keep_days = keep_days
        self._acknowledged = _acknowledged(path)
        try:
            self._begin()
        except duckdb.Error as error:
            if not is_damage(error):
                self.database.close()
                raise OperatorError(f"journal {path}: cannot be used: {error}") from None
            self.database.rebuild(str(error))
            self._begin()

    def commit(self, entries: Sequence[Entry]) -> list[Entry]:
        """Write a batch in one transaction; returns the new entries, in order.

        Every entry is on the disk when this returns, new or a duplicate.
        """
        learnt: dict[Pair, str] = {}
        wholes = self.recorded({whole: _content(entry) for entry in entries for whole in _wholes([entry])})
        with self.database.transaction() as connection:
            new = self._new(entries, wholes)
            there = [_key(entry) for entry in entries if self._has_whole(entry, new, wholes)]
            if not new and not there:
                return []
            by_kind = {kind: [entry for entry in new.values() if entry.report.kind == kind] for kind in TABLES}
            joined = _paths_joined(by_kind["path"] + by_kind["throughput"], self._fingerprints, learnt)
            for kind, reports in by_kind.items():
                if any(entry.report.rows for entry in reports):
                    batch = row_columns(TABLES[kind], reports, self._last_number[kind] + 1)
                    if kind == "throughput":
                        batch["path_fingerprint"] = np.array(joined, dtype=object)
                    journal_tables.append_rows(connection, kind, batch)
            grown = self._seen.grown([*new, *_wholes(new.values()), *there])
            journal_tables.write_ranges(connection, self._seen.changes(grown))
            outbox_ledger.count_rows(connection, new.values())
        self._seen.update(grown)
        self._remember(new, learnt)
        return list(new.values())

    def recorded(self, wanted: Mapping[Key, RowsOf]) -> dict[Key, set[RowsOf]]:
        """Those of the keys that the journal has, with the kind and `at` of their rows, where it still has rows.

        What `wanted` expects under a key is looked for first, among the rows of that time: a duplicate costs the same
        however long the record is. Only for the others is all of it read.
        """
        if not wanted:
            return {}
        self.database.reopen()
        found: dict[Key, set[RowsOf]] = {key: set() for key in wanted if key in self._seen}
        if not found:  # as nearly always
            return {}
        with self.database.transaction() as connection:
            for kind in TABLES:
                here = [key for key in found if wanted[key][0] == kind]
                times = [wanted[key][1] for key in here]
                found.update(journal_tables.rows_like(connection, kind, here, times))
            others = [key for key, rows in found.items() if wanted[key] not in rows]
            for kind in TABLES:
                for key, rows in journal_tables.rows_like(connection, kind, others).items():
                    found[key] |= rows
        return found

    def prune(self, now: datetime) -> Iterator[int]:
        """Delete rows that arrived more than `keep_days` ago: a slice at each step, which says how many.

        Rows stay that a sink has yet to write, or that are not in the roll-ups yet, and so do the keys of all reports:
        a report that arrives again after years is still a duplicate.
        """
        if self._keep_days is None:
            return
        before = naive(now - timedelta(days=self._keep_days))
        for kind in TABLES:
            old = "received_at < $before AND number BETWEEN $first AND $last"
            first, last = self._prunable(kind, before)
            for start in range(first, last + 1, PRUNED_ROWS):
                numbers = {"first": start, "last": min(start + PRUNED_ROWS - 1, last)}
                with self.database.transaction() as connection:
                    statement = f"DELETE FROM {stored_in(kind)} WHERE {old}"  # noqa: S608 - our names
                    ((deleted,),) = connection.execute(statement, {"before": before, **numbers}).fetchall()
                yield deleted

    def _prunable(self, kind: str, before: datetime) -> tuple[int, int]:
        """The first and the last row that may go; the last is before the first where none may."""
        ((first, last),) = self.database.rows(
            f"""SELECT coalesce(min(number), 1), coalesce(max(number), 0) FROM {kind}
                WHERE received_at < $before AND number <= least(
                    9223372036854775807, (SELECT min(number) FROM cursors WHERE kind = $kind),
                    (SELECT number FROM rolled WHERE kind = $kind))""",  # noqa: S608
            {"before": before, "kind": kind},
        )
        return first, last

    def close(self) -> None:
        """Checkpoint the file and close it."""
        self.database.close()
        self._acknowledged.close()

    def _begin(self) -> None:
        with self.database.transaction() as connection:
            journal_tables.create(connection, self._path.with_name(f"{self._path.name}.id"))
            journal_damage.create(connection)
            now = datetime.now(UTC)
            journal_damage.note(connection, [JournalDamage(now, *found) for found in self.database.findings])
            if self.database.rebuilt:
                journal_tables.add_keys_of_rows(connection)
        self.database.remember(self._load)
        self.id: str = self.database.rows("SELECT id FROM journal_identity")[0][0]
        self.damage = DamageRecord(self.database)

    def _remember(self, new: Mapping[Key, Entry], learnt: Mapping[Pair, str]) -> None:
        for entry in new.values():
            self._last_number[entry.report.kind] += len(entry.report.rows)
        self._fingerprints.update(learnt)
        self._reports += len(new)
        self._note_acknowledged()

    def _new(self, entries: Sequence[Entry], wholes: Mapping[Key, set[RowsOf]]) -> dict[Key, Entry]:
        new: dict[Key, Entry] = {}
        in_parts: set[Key] = set()
        for entry in entries:
            key = _key(entry)
            if key in self._seen or key in new or key in in_parts or self._has_whole(entry, new, wholes):
                continue
            new[key] = entry
            in_parts.update(_wholes([entry]))
        return new

    def _has_whole(self, entry: Entry, new: Mapping[Key, Entry], wholes: Mapping[Key, set[RowsOf]]) -> bool:
        """Whether this is a part of a report that is in the journal whole, and not another under its number.

        Where the whole has no rows, it came in parts, or its rows are deleted: then one of its parts is there, or none.
        """
        split = entry.report.split_from
        if split is None:
            return False
        whole = (entry.site, split.boot, split.seq)
        contents = {_content(new[whole])} if whole in new else wholes.get(whole)
        if contents is None:
            return False
        if contents:
            return _content(entry) in contents
        parts = ((entry.site, split.parts_boot, seq) for seq in range(split.first, split.last + 1))
        return not any(part in self._seen or part in new for part in parts)

    def _load(self) -> None:
        self._seen = journal_tables.read_keys(self.database)
        self._last_number = journal_tables.read_numbers(self.database)
        self._fingerprints = journal_tables.read_fingerprints(self.database)
        self._reports = have = sum(last - first + 1 for *_, first, last in self._seen.ranges())
        acknowledged = self._acknowledged.read() or 0
        if self._acknowledged.damaged:
            self._note_damage("damaged_count", f"how many reports the journal {self._path} acknowledged is unknown")
        elif have < acknowledged:
            lost, found = acknowledged - have, self.database.findings
            counts = f"has {have} of {acknowledged} reports that it acknowledged: {lost} are lost"
            self._note_damage(found[-1].reason if found else "missing", f"the journal {self._path} {counts}", lost)
        self._note_acknowledged()

    def _note_damage(self, reason: str, sentence: str, lost: int = 0) -> None:
        log.error("%s", sentence)
        with self.database.transaction() as connection:
            journal_damage.note(connection, [JournalDamage(datetime.now(UTC), reason, sentence, lost)])

    def _note_acknowledged(self) -> None:
        # Without a sync: it costs microseconds, and after a power cut it may say too few, never too many.
        with contextlib.suppress(OSError):
            self._acknowledged.write(self._reports, sync=False)


def _acknowledged(path: Path) -> DurableNumber:
    """How many reports the journal has acknowledged, in a file beside it: what is fewer in the journal is lost."""
    try:
        return DurableNumber(path.with_name(f"{path.name}.acknowledged"))
    except OSError as error:
        raise OperatorError(f"journal {path}: cannot be opened: {error}") from None


def _key(entry: Entry) -> Key:
    return entry.site, entry.report.boot, entry.report.seq


def _content(entry: Entry) -> RowsOf:
    """What tells a report from others under its number."""
    return entry.report.kind, entry.report.at


def _wholes(entries: Iterable[Entry]) -> Iterator[Key]:
    """The reports that came in parts: the whole, if it arrives after all, is a duplicate."""
    for entry in entries:
        split = entry.report.split_from
        if split is not None:
            yield entry.site, split.boot, split.seq


def _paths_joined(entries: Sequence[Entry], known: Mapping[Pair, str], learnt: dict[Pair, str]) -> list[str | None]:
    """The path fingerprint of each throughput row, in order; `learnt` gains those of the path rows."""
    joined: list[str | None] = []
    for entry in entries:
        for row in entry.report.rows:
            if isinstance(row, PathRow) and row.fingerprint is not None:
                learnt[row.src, row.dst] = row.fingerprint
            elif isinstance(row, ThroughputRow):
                pair = row.src, row.dst
                joined.append(learnt.get(pair) or known.get(pair))
    return joined
