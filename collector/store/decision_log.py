"""The decisions in the record: what was decided, on what, and what was expected, so that it can be judged later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from collector.store.columns import microseconds, naive
from collector.store.database import Database

# A path came into force; one still is; somebody asked with conditions of their own, or for a placement.
Occasion = Literal["changed", "noted", "asked", "placed"]

_COLUMNS = {
    "at": "TIMESTAMP",
    "occasion": "VARCHAR",
    "src": "VARCHAR",
    "dst": "VARCHAR",
    "objective": "VARCHAR",
    "path": "VARCHAR",
    "p50": "DOUBLE",
    "p90": "DOUBLE",
    "direct_p50": "DOUBLE",
    "answer": "VARCHAR",
}


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """One decision: `path` from `src` to `dst` with the relays between, empty where none could be used.

    `p50`, `p90` and `direct_p50` are in the objective's unit: seconds, for goodput bit/s. `answer` is what was
    answered, as JSON with its inputs; what is merely noted again has none.
    """

    at: datetime
    occasion: Occasion
    src: str
    dst: str
    objective: str
    path: tuple[str, ...]
    p50: float | None = None
    p90: float | None = None
    direct_p50: float | None = None
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured of links, in order of time: `at_s` since the epoch, `value` in base units.

    A latency that was asked for and got no reply is infinite.
    """

    src: npt.NDArray[np.object_]
    dst: npt.NDArray[np.object_]
    at_s: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]


class DecisionLog:
    """The table of decisions. Any thread may call; raises duckdb.Error when the disk fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        columns = ", ".join(f'"{name}" {sql}' for name, sql in _COLUMNS.items())
        with database.transaction() as connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS decisions ({columns})")

    def add(self, decided: Sequence[RouteDecision]) -> None:
        """Write these, all or none."""
        if not decided:
            return
        batch = {
            "at": np.array([microseconds(one.at) for one in decided], dtype=np.int64).view("datetime64[us]"),
            "path": np.array([" ".join(one.path) for one in decided], dtype=object),
            **{
                name: np.array([getattr(one, name) for one in decided], dtype=object)
                for name in ("occasion", "src", "dst", "objective", "answer")
            },
            **{
                name: np.array([getattr(one, name) for one in decided], dtype=np.float64)
                for name in ("p50", "p90", "direct_p50")
            },
        }
        with self._database.transaction() as connection:
            connection.register("batch_decisions", batch)
            connection.execute("INSERT INTO decisions BY NAME SELECT * FROM batch_decisions")

    def since(self, since: datetime, until: datetime) -> list[RouteDecision]:
        """Everything decided in `[since, until)`, oldest first, without the answers' text."""
        rows = self._database.rows(
            """SELECT "at", occasion, src, dst, objective, path, p50, p90, direct_p50 FROM decisions
               WHERE "at" >= ? AND "at" < ? ORDER BY "at", rowid""",
            [naive(since), naive(until)],
        )
        return [_decided(row) for row in rows]

    def standing(self) -> list[RouteDecision]:
        """The newest change of every pair and objective: what was in force when the collector ended."""
        rows = self._database.rows(
            """SELECT "at", occasion, src, dst, objective, path, p50, p90, direct_p50 FROM decisions
               WHERE occasion = 'changed'
               QUALIFY row_number() OVER (PARTITION BY src, dst, objective ORDER BY "at" DESC, rowid DESC) = 1"""
        )
        return [_decided(row) for row in rows]

    def prune(self, before: datetime) -> None:
        """Forget what was decided before, but for what is still in force."""
        with self._database.transaction() as connection:
            connection.execute(
                """DELETE FROM decisions WHERE "at" < $before AND rowid NOT IN (
                       SELECT arg_max(rowid, "at") FROM decisions WHERE occasion = 'changed'
                       GROUP BY src, dst, objective)""",
                {"before": naive(before)},
            )

    def latencies(self, since: datetime) -> Measurements:
        """The RTTs (p50 of each row that our own tests did not load) measured from then on."""
        return self._measured(
            """SELECT src, dst, epoch("at"), CASE WHEN rtt_p50_s IS NULL THEN 'inf'::DOUBLE ELSE rtt_p50_s END
               FROM latency WHERE "at" >= ? AND NOT during_throughput
               AND (rtt_p50_s IS NOT NULL OR failure IS NOT NULL OR sent > 0) ORDER BY "at", number""",
            since,
        )

    def goodputs(self, since: datetime) -> Measurements:
        """The goodputs measured from then on; a test that failed says nothing about the path."""
        return self._measured(
            """SELECT src, dst, epoch("at"), goodput_bps FROM throughput
               WHERE "at" >= ? AND goodput_bps IS NOT NULL ORDER BY "at", number""",
            since,
        )

    def _measured(self, sql: str, since: datetime) -> Measurements:
        rows = self._database.rows(sql, [naive(since)])
        src, dst, at_s, value = zip(*rows, strict=True) if rows else ((), (), (), ())
        return Measurements(
            np.array(src, dtype=object), np.array(dst, dtype=object), np.array(at_s, float), np.array(value, float)
        )


def _decided(row: tuple[object, ...]) -> RouteDecision:
    at, occasion, src, dst, objective, path, p50, p90, direct_p50 = row
    return RouteDecision(
        at.replace(tzinfo=UTC),  # type: ignore[attr-defined]
        occasion,  # type: ignore[arg-type]
        str(src),
        str(dst),
        str(objective),
        tuple(str(path).split()),
        *(None if value is None or value != value else float(value) for value in (p50, p90, direct_p50)),  # type: ignore[arg-type]  # noqa: PLR0124 – NaN
    )
