"""The ledger of rows: what each sink took of each outbox's rows, counted as it takes them. Independent of its cursor.

A cursor that moved without a write, or a write without its cursor, shows as rows that nothing explains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import duckdb

from collector.store.columns import TABLES
from collector.store.database import Query
from collector.store.outbox_ledger import Outbox, add_counts
from linkweather.models.ledger import SinkLine

_KEY = ("sink", "site", "boot")


def create(connection: duckdb.DuckDBPyConnection, sink: str) -> None:
    """Make the tables, and the sink's place in them, once it has its cursors.

    What retention deleted before the sink came, it never gets. Of an older journal, rows up to a cursor count as taken.
    """
    for table in ("sink_passed", "sink_missed"):
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table} (sink VARCHAR, site VARCHAR, boot VARCHAR, rows BIGINT)"
        )
    connection.execute("CREATE TABLE IF NOT EXISTS sink_begun (sink VARCHAR)")
    if connection.execute("SELECT 1 FROM sink_begun WHERE sink = ?", [sink]).fetchall():
        return
    connection.execute("INSERT INTO sink_begun VALUES (?)", [sink])
    cursor = "(SELECT number FROM cursors WHERE exporter = $sink AND kind = '{0}')"
    kept = " UNION ALL ".join(
        f"SELECT site, boot, number <= {cursor.format(kind)} AS taken FROM {kind}"  # noqa: S608 - names of our own
        for kind in TABLES
    )
    connection.execute(
        "CREATE TEMP TABLE counted AS SELECT site, boot, count(*) AS rows, count(*) FILTER (taken) AS passed "  # noqa: S608
        f"FROM ({kept}) GROUP BY site, boot",
        {"sink": sink},
    )
    connection.execute("INSERT INTO sink_passed SELECT ?, site, boot, passed FROM counted WHERE passed > 0", [sink])
    connection.execute(
        "INSERT INTO sink_missed SELECT ?, site, boot, outbox_rows.rows - coalesce(counted.rows, 0) "
        "FROM outbox_rows LEFT JOIN counted USING (site, boot)",
        [sink],
    )
    connection.execute("DROP TABLE counted")


def count_passed(connection: duckdb.DuckDBPyConnection, sink: str, outboxes: Mapping[Outbox, int]) -> None:
    """Count the rows of a batch by outbox, taken or set aside, in the transaction that moves the cursor."""
    add_counts(connection, "sink_passed", _KEY, {(sink, *outbox): rows for outbox, rows in outboxes.items()})


def passed_rows(query: Query) -> Mapping[Outbox, Mapping[str, int]]:
    """Of each outbox, the rows that each sink took, or set aside."""
    passed: dict[Outbox, dict[str, int]] = {}
    for sink, site, boot, rows in query("FROM sink_passed ORDER BY sink"):
        passed.setdefault((site, boot), {})[sink] = rows
    return passed


def lines(query: Query, sinks: Iterable[str]) -> list[SinkLine]:
    """A line for each sink, all of the moment of `query`."""
    committed_rows = int(query("SELECT coalesce(sum(rows), 0) FROM outbox_rows")[0][0])
    return [_line(query, sink, committed_rows) for sink in sinks]


def _line(query: Query, sink: str, committed_rows: int) -> SinkLine:
    passed, missed, aside, dropped = (
        int(query(f"SELECT coalesce(sum(rows), 0) FROM {table} WHERE sink = ?", [sink])[0][0])  # noqa: S608
        for table in ("sink_passed", "sink_missed", "set_aside_rows", "sink_drops")
    )
    waiting = 0
    for kind, cursor in query("SELECT kind, number FROM cursors WHERE exporter = ?", [sink]):
        waiting += int(query(f"SELECT count(*) FROM {kind} WHERE number > ?", [cursor])[0][0])  # noqa: S608
    return SinkLine(
        sink=sink,
        committed_rows=committed_rows,
        exported_rows=passed - aside - dropped,
        waiting_rows=waiting,
        set_aside_rows=aside,
        dropped_rows=dropped,
        missed_rows=missed,
        unexplained_rows=committed_rows - passed - waiting - missed,
    )
