"""The journal's tables in the database: made at the opening, read into memory at each start, written by a commit.

A field that a message gained becomes a column here, and an older version's table of keys becomes ranges.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import duckdb
import numpy as np

from collector.store import outbox_ledger, roll_up_tables
from collector.store.columns import TABLES, Column, moments, texts
from collector.store.database import Database
from collector.store.journal_format import SCHEMA_VERSION
from collector.store.packed_delays import VIEW, packed, stored_columns, stored_in, view
from collector.store.report_keys import Key, Range, RangeChanges, ReportKeys
from linkweather import atomicfile

_QUOTED = '"{}"'.format
_KEY = ("site", "boot", "first")
_RECEIVED = "CREATE TABLE IF NOT EXISTS received (site VARCHAR, boot VARCHAR, first BIGINT, last BIGINT)"


def create(connection: duckdb.DuckDBPyConnection, id_file: Path) -> None:
    """Create what is missing; a field that a message gained since becomes a column, NULL in older rows.

    The journal's id is in `id_file` as well: one that is rebuilt after damage keeps it, and with it its sites.
    """
    if connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [VIEW]).fetchone():
        # An earlier version had no view; its rows stay as they are.
        connection.execute(f"ALTER TABLE {VIEW} RENAME TO {stored_in(VIEW)}")
    for kind in TABLES:
        table, columns = stored_in(kind), stored_columns(kind)
        definitions = ", ".join(f"{_QUOTED(name)} {sql}" for name, sql in columns.items())
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({definitions})")
        for name, sql in columns.items():
            connection.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {_QUOTED(name)} {sql}")
    shown = "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index"
    if [name for (name,) in connection.execute(shown, [VIEW]).fetchall()] != list(TABLES[VIEW].columns):
        connection.execute(view())
    connection.execute("UPDATE journal_format SET version = ? WHERE version < ?", [SCHEMA_VERSION, SCHEMA_VERSION])
    outbox_ledger.create(connection)
    for statement in roll_up_tables.definitions():
        connection.execute(statement)
    connection.execute("CREATE TABLE IF NOT EXISTS journal_identity (id VARCHAR)")
    if (found := connection.execute("SELECT id FROM journal_identity").fetchone()) is None:
        found = (_kept_id(id_file) or secrets.token_hex(8),)
        connection.execute("INSERT INTO journal_identity VALUES (?)", found)
    if _kept_id(id_file) != found[0]:
        with contextlib.suppress(OSError):
            atomicfile.replace(id_file, found[0])
    connection.execute(_RECEIVED)
    if connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'parts_of_wholes'").fetchone():
        # An earlier version kept these keys in a table of their own.
        connection.execute("INSERT INTO received SELECT site, boot, seq, seq FROM parts_of_wholes")
        connection.execute("DROP TABLE parts_of_wholes")
    connection.execute("CREATE TABLE IF NOT EXISTS cursors (exporter VARCHAR, kind VARCHAR, number BIGINT)")


def add_keys_of_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the keys of all rows: of a damaged journal, rows may be left whose keys are not."""
    for kind in TABLES:
        connection.execute(f"INSERT INTO received SELECT DISTINCT site, boot, seq, seq FROM {kind}")  # noqa: S608 – ours


def read_keys(database: Database) -> ReportKeys:
    """The keys of all reports ever committed. Raises duckdb.Error."""
    # NULL and ranges that are none are not our own: such a row must not end every start.
    seen = ReportKeys(
        database.stream(
            "SELECT site, boot, first, last FROM received "
            "WHERE site IS NOT NULL AND boot IS NOT NULL AND 0 <= first AND first <= last ORDER BY ALL"
        )
    )
    ranges = list(seen.ranges())
    if len(ranges) < database.rows("SELECT count(*) FROM received")[0][0]:
        # An older version's journal has a row for each report.
        with database.transaction() as connection:
            connection.execute("DROP TABLE received")
            connection.execute(_RECEIVED)
            write_ranges(connection, RangeChanges([], [], ranges))
    return seen


def read_numbers(database: Database) -> dict[str, int]:
    """The last number given in each table. Raises duckdb.Error."""
    # Cursors and roll-ups may be beyond the rows that retention left: numbers are never given twice.
    return {
        kind: database.rows(
            f"""SELECT greatest(0, (SELECT max(number) FROM {kind}),
                       (SELECT max(number) FROM cursors WHERE kind = $kind),
                       (SELECT greatest(number, upto) FROM rolled WHERE kind = $kind))""",  # noqa: S608
            {"kind": kind},
        )[0][0]
        for kind in TABLES
    }


def read_fingerprints(database: Database) -> dict[tuple[str, str], str]:
    """The latest known path of each link, as its fingerprint. Raises duckdb.Error."""
    rows = database.rows(
        "SELECT src, dst, arg_max(fingerprint, number) FROM path WHERE fingerprint IS NOT NULL GROUP BY src, dst"
    )
    return {(src, dst): fingerprint for src, dst, fingerprint in rows}


def append_rows(connection: duckdb.DuckDBPyConnection, kind: str, rows: dict[str, Column]) -> None:
    """Add the rows of a batch to the table of their kind."""
    connection.register("batch_rows", packed(rows) if kind == VIEW else rows)
    connection.execute(f"INSERT INTO {stored_in(kind)} BY NAME FROM batch_rows")


def rows_like(
    connection: duckdb.DuckDBPyConnection, kind: str, keys: Sequence[Key], times: Sequence[datetime] | None = None
) -> dict[Key, set[tuple[str, datetime]]]:
    """The kind and `at` of the rows of each report, where `times` are given only those of that time.

    DuckDB reads the blocks alone that lie within the numbers, and the times, that are asked for.
    """
    if not keys:
        return {}
    site, boot, seq = zip(*keys, strict=True)
    wanted = {"site": texts(site), "boot": texts(boot), "seq": np.array(seq, dtype=np.int64)}
    if times is not None:
        wanted["at"] = moments(times)
    connection.register("wanted", wanted)
    rows = connection.execute(
        f"""SELECT DISTINCT site, boot, seq, "at" FROM {kind}
            SEMI JOIN wanted USING ({", ".join(map(_QUOTED, wanted))})"""  # noqa: S608 - names of our tables
    )
    found: dict[Key, set[tuple[str, datetime]]] = {key: set() for key in keys}
    for *key, at in rows.fetchall():
        found[cast("Key", tuple(key))].add((kind, at.replace(tzinfo=UTC)))
    return found


def write_ranges(connection: duckdb.DuckDBPyConnection, changes: RangeChanges) -> None:
    """Change `received`; a range that grows is changed in its place, so that the table stays as small as it is."""
    if changes.extended:
        outbox_ledger.update_rows(connection, "received", _KEY, "last = {last}", _range_columns(changes.extended))
    same = " AND ".join(f"received.{name} = batch.{name}" for name in _KEY)
    for ranges, statement in (
        (changes.gone, f"DELETE FROM received USING batch WHERE {same}"),  # noqa: S608 – ours
        (changes.new, "INSERT INTO received BY NAME FROM batch"),
    ):
        if ranges:
            connection.register("batch", _range_columns(ranges))
            connection.execute(statement)


def _range_columns(ranges: Sequence[Range]) -> dict[str, Column]:
    site, boot, first, last = (np.array(column) for column in zip(*ranges, strict=True))
    return {"site": site.astype(object), "boot": boot.astype(object), "first": first, "last": last}


def _kept_id(file: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError):
        return bytes.fromhex(file.read_text(encoding="ascii")).hex() or None
    return None
