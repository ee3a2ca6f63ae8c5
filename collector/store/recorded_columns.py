"""The rows that a start needs of all links, read from the journal as numpy columns: a start makes no messages of them.

A forecast needs one figure of many rows of each link, a state all fields of few rows. So the figures are read by
ranges of links, and of the other fields only the newest rows' of each link, boot and outcome, which DuckDB selects. A
call yields pieces of bounded size, each of which costs less than a microsecond a row.
"""

# ruff: noqa: S608 - the names in the queries are from our tables

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Self

import numpy as np

from collector.store.columns import MEASURED_AT, Column, naive, sound, texts
from collector.store.database import Database

_FIGURES_ROWS: Final = 2_000_000
_NEWEST_ROWS: Final = 200_000
_DEPTH_MAX: Final = 100
# What sets rows apart of which the newest ones are all needed: good and failed, loaded and not, those with a new path.
_APART: Final[Mapping[str, str]] = {
    "latency": "during_throughput, failure, received > 0 OR sent = 0",
    "throughput": "failure IS NULL",
    "path": "failure IS NULL, changed",
}
_HOPS: Final = """CASE WHEN reached AND json_valid(hops)
                  THEN TRY_CAST(json_extract_string(hops, '$[#-1].ttl') AS UTINYINT) END AS hops"""
_AT: Final = f"epoch_us({MEASURED_AT}) AS measured_us"


class RecordedColumns:
    """Rows of `pairs` (src, dst), whose links are numbered in that order; a context. Raises duckdb.Error.

    Every piece has `link`, `at` (when it was measured, in seconds since the epoch), and the fields asked for: numbers
    are doubles, NaN for none; others objects.
    """

    def __init__(self, database: Database, pairs: Sequence[tuple[str, str]]) -> None:
        self._database = database
        self._count = len(pairs)
        self._pairs = pairs

    def __enter__(self) -> Self:
        self._cursor = self._database.cursor()
        ends = {"src": texts([src for src, _ in self._pairs]), "dst": texts([dst for _, dst in self._pairs])}
        self._cursor.register("mesh_ends", {**ends, "link": np.arange(self._count)})
        self._cursor.execute("CREATE TEMP TABLE mesh_links AS SELECT * FROM mesh_ends")
        return self

    def __exit__(self, *_: object) -> None:
        self._cursor.close()

    def figures(self, kind: str, names: Sequence[str], since: datetime) -> Iterator[dict[str, Column]]:
        """Some numbers of every row that arrived since, all rows of a link in one piece."""
        source = f"FROM {kind} WHERE received_at >= $since"
        ((rows,),) = self._cursor.execute(f"SELECT count(*) {source}", {"since": naive(since)}).fetchall()
        each = max(1, self._count * _FIGURES_ROWS // max(rows, _FIGURES_ROWS))
        fields = ", ".join(f'"{name}"' for name in names)
        for first in range(0, self._count, each):
            yield self._read(
                f"""SELECT link, {_AT}, {fields} FROM {kind}
                    JOIN (FROM mesh_links WHERE link >= $first AND link < $end) USING (src, dst)
                    WHERE received_at >= $since AND {sound(kind)}""",
                {"since": naive(since), "first": first, "end": first + each},
            )

    def newest(
        self,
        kind: str,
        names: Sequence[str],
        since: datetime,
        *,
        depth: int = 1,
        probes: int = 0,
        changed_since: datetime | None = None,
    ) -> Iterator[dict[str, Column]]:
        """The `depth` newest rows since of each link, boot and outcome, in the order of commit; with `boot` and `seq`.

        Where so many rows have fewer `probes` on the average, as many as a window may hold. Path rows that show a
        change are also read where they arrived `changed_since`.
        """
        self._select(kind, since, depth, probes, changed_since)
        numbers = self._cursor.execute("SELECT DISTINCT number FROM newest ORDER BY number").fetchnumpy()["number"]
        fields = ", ".join(_HOPS if name == "hops" else f'"{name}"' for name in names)
        for start in range(0, len(numbers), _NEWEST_ROWS):
            some = numbers[start : start + _NEWEST_ROWS]
            yield self._read(
                f"""SELECT link, {_AT}, boot, seq, {fields} FROM {kind}
                    JOIN mesh_links USING (src, dst) SEMI JOIN newest USING (number)
                    WHERE number BETWEEN $first AND $last ORDER BY number""",
                {"first": int(some[0]), "last": int(some[-1])},
            )

    def reported(self, kind: str, since: datetime) -> list[tuple[str, float]]:
        """When each site measured the newest of its rows that arrived since, in seconds since the epoch."""
        rows = self._cursor.execute(
            f"""SELECT site, epoch_us(max({MEASURED_AT})) FROM {kind}
                WHERE received_at >= ? AND {sound(kind)} GROUP BY site""",
            [naive(since)],
        ).fetchall()
        return [(site, at_us / 1e6) for site, at_us in rows]

    def _select(self, kind: str, since: datetime, depth: int, probes: int, changed_since: datetime | None) -> None:
        """Put the numbers of the newest rows into a table."""
        parameters = {"since": naive(since)}
        changed = ""
        if changed_since is not None:
            parameters["changed_since"], changed = naive(changed_since), " OR changed AND received_at >= $changed_since"
        rows = f"FROM {kind} JOIN mesh_links USING (src, dst) WHERE (received_at >= $since{changed}) AND {sound(kind)}"
        groups = f"GROUP BY link, boot, {_APART[kind]}"
        sent = "sum(sent)" if probes else "0"
        self._cursor.execute(
            f"""CREATE OR REPLACE TEMP TABLE selected AS
                SELECT link, count(*) AS rows, {sent} AS sent, arg_max(number, seq, {depth}) AS numbers
                {rows} {groups}""",
            parameters,
        )
        self._cursor.execute("CREATE OR REPLACE TEMP TABLE newest AS SELECT unnest(numbers) AS number FROM selected")
        few = f"rows > {depth} AND sent * {depth} < rows * {probes}"
        if self._cursor.execute(f"SELECT 1 FROM selected WHERE {few} LIMIT 1").fetchone():
            self._cursor.execute(
                f"""INSERT INTO newest SELECT unnest(numbers) FROM
                    (SELECT arg_max(number, seq, {_DEPTH_MAX}) AS numbers
                     {rows} AND link IN (SELECT link FROM selected WHERE {few}) {groups})""",
                parameters,
            )

    def _read(self, sql: str, parameters: Mapping[str, Any]) -> dict[str, Column]:
        found: dict[str, Column] = self._cursor.execute(sql, parameters).fetchnumpy()
        columns = {name: _filled(name, column) for name, column in found.items() if name != "measured_us"}
        return columns | {"at": np.ma.getdata(found["measured_us"]) / 1e6}


def _filled(name: str, column: Column) -> Column:
    """The column without a mask: a number's NULL is NaN, another's is None."""
    values, missing = np.ma.getdata(column), np.ma.getmaskarray(column)
    if name == "link":
        return values.astype(np.intp)
    if values.dtype == object:
        values[missing] = None
        return values
    return np.where(missing, np.nan, values.astype(np.float64)) if missing.any() else values.astype(np.float64)
