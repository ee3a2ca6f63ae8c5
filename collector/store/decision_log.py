"""The decision log: what was decided about routes and placements, and what was expected, to be evaluated later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Self, get_args

import duckdb
import numpy as np
import numpy.typing as npt

from collector.store.columns import microseconds, naive, times
from collector.store.database import Database
from linkweather.models.placements import PlacementAnswer
from linkweather.models.routes import NoRoute, Objective, PathExpectation, RouteAnswer
from linkweather.wire import encode

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.integer]

# The active route changed; it was sampled for evaluation; a question was asked.
Occasion = Literal["changed", "sampled", "asked"]

DECISION_TABLES: Mapping[str, Mapping[str, str]] = {
    "decisions": {
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
    },
    "placements": {
        "at": "TIMESTAMP",
        "job": "VARCHAR",
        "site": "VARCHAR",
        "done_p50_s": "DOUBLE",
        "done_p90_s": "DOUBLE",
        "answer": "VARCHAR",
    },
}

# What a decision needs to be read back.
SOUND_DECISION = (
    f"""objective IN ({", ".join(f"'{name}'" for name in get_args(Objective))})"""
    f""" AND src IS NOT NULL AND dst IS NOT NULL AND path IS NOT NULL AND {times("at")}"""
)

# The newest change of every pair and objective: what is decided now.
_ACTIVE = """rowid IN (SELECT arg_max(rowid, "at") FROM decisions WHERE occasion = 'changed'
                       GROUP BY src, dst, objective)"""
PRUNED_ROWS = 20_000  # about so many in one transaction


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """One decision: `path` from `src` to `dst` with the relays between, empty where there was no usable path.

    `p50`, `p90` and `direct_p50` are in the objective's unit: seconds, for goodput bit/s. `answer` is the whole answer
    as JSON; a sample has none.
    """

    at: datetime
    occasion: Occasion
    src: str
    dst: str
    objective: Objective
    path: tuple[str, ...]
    p50: float | None = None
    p90: float | None = None
    direct_p50: float | None = None
    answer: str | None = None

    @classmethod
    def of(cls, answer: RouteAnswer | NoRoute, occasion: Occasion, now: float) -> Self:
        """The entry for an answer. `now`, in seconds since the epoch, dates one without a path."""
        text = None if occasion == "sampled" else encode(answer).decode()
        src, dst, objective = answer.src, answer.dst, answer.objective
        if isinstance(answer, NoRoute):
            return cls(datetime.fromtimestamp(now, UTC), occasion, src, dst, objective, (), answer=text)
        direct = None if answer.direct is None else _figures(answer.direct, objective)[0]
        figures = _figures(answer.path, objective)
        # Measurements after `answer.at` say whether the decision was right.
        return cls(answer.at, occasion, src, dst, objective, answer.path.sites, *figures, direct, text)


@dataclass(frozen=True, slots=True)
class PlacementDecision:
    """Where a job was placed: `site` is None where none could run it; `answer` is the whole answer as JSON."""

    at: datetime
    job: str
    site: str | None
    done_p50_s: float | None
    done_p90_s: float | None
    answer: str | None = None

    @classmethod
    def of(cls, answer: PlacementAnswer) -> Self:
        """The entry for an answer."""
        text = encode(answer).decode()
        return cls(answer.at, answer.job, answer.site, answer.done_p50_s, answer.done_p90_s, text)


@dataclass(frozen=True, eq=False, kw_only=True)
class RouteDecisions:
    """Decisions about many pairs under one objective, as columns; `src`, `dst` and `via` are positions in `sites`.

    `via` is the relay, −1 where the path is direct, and less where there is none. `at` is in seconds since the epoch;
    figures are as in RouteDecision, NaN where unknown.
    """

    objective: Objective
    sites: tuple[str, ...]
    at: Floats
    src: Positions
    dst: Positions
    via: Positions
    p50: Floats
    p90: Floats
    direct_p50: Floats

    def __len__(self) -> int:
        return len(self.src)


class LoggedRoutes(NamedTuple):
    """Columns to be logged for one occasion."""

    occasion: Occasion
    decisions: RouteDecisions


LoggedDecision = RouteDecision | PlacementDecision | LoggedRoutes

# One row a pair, from the columns of RouteDecisions.
_INSERT_COLUMNS = """INSERT INTO decisions BY NAME
    SELECT make_timestamp(round("at" * 1e6)::BIGINT) AS "at", $occasion AS occasion, $sites[src + 1] AS src,
           $sites[dst + 1] AS dst, $objective AS objective, p50, p90, direct_p50,
           CASE WHEN via < -1 THEN '' WHEN via = -1 THEN concat_ws(' ', $sites[src + 1], $sites[dst + 1])
                ELSE concat_ws(' ', $sites[src + 1], $sites[via + 1], $sites[dst + 1]) END AS path
    FROM batch"""
# The same columns of recorded paths, with at most one relay, between sites of $sites.
SELECT_COLUMNS = """epoch("at") AS "at", list_position($sites, src) - 1 AS src, list_position($sites, dst) - 1 AS dst,
    CASE len(string_split(path, ' ')) WHEN 3 THEN list_position($sites, split_part(path, ' ', 2)) - 1
                                      WHEN 2 THEN -1 ELSE -2 END AS via, p50, p90, direct_p50"""
_COLUMNS: Mapping[str, type[np.generic]] = {
    **dict.fromkeys(("at", "p50", "p90", "direct_p50"), np.float64),
    **dict.fromkeys(("src", "dst", "via"), np.int64),
}
_UNKNOWN: Mapping[type[np.generic], float] = {np.float64: np.nan, np.int64: -1}


class DecisionLog:
    """The tables of decisions. Any thread may call; raises duckdb.Error when the disk fails."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.transaction() as connection:
            for table, columns in DECISION_TABLES.items():
                types = ", ".join(f'"{name}" {sql}' for name, sql in columns.items())
                connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({types})")

    def add(self, decisions: Sequence[LoggedDecision]) -> None:
        """Write these, all or none."""
        if not decisions:
            return
        batches: dict[str, Sequence[LoggedDecision]] = {
            "decisions": [one for one in decisions if isinstance(one, RouteDecision)],
            "placements": [one for one in decisions if isinstance(one, PlacementDecision)],
        }
        with self.database.transaction() as connection:
            for table, rows in batches.items():
                if rows:
                    connection.register("batch", _columns(table, rows))
                    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM batch")  # noqa: S608 – a constant
                    connection.unregister("batch")
            for one in decisions:
                if isinstance(one, LoggedRoutes):
                    _insert(connection, one.occasion, one.decisions)

    def since(self, since: datetime, until: datetime) -> list[RouteDecision]:
        """The decisions about routes in `[since, until)`, oldest first, without the answers' text."""
        rows = self.database.rows(
            f"""SELECT "at", occasion, src, dst, objective, path, p50, p90, direct_p50 FROM decisions
               WHERE "at" >= ? AND "at" < ? AND {SOUND_DECISION} ORDER BY "at", rowid""",  # noqa: S608 - a constant
            [naive(since), naive(until)],
        )
        return [route_decision(row) for row in rows]

    def active(self, objective: Objective, sites: tuple[str, ...]) -> RouteDecisions:
        """The newest change of every pair of `sites`: the active routes when the collector ended.

        A path through a site that is not among them is left out.
        """
        return self.columns(
            f"""SELECT {SELECT_COLUMNS} FROM decisions WHERE rowid IN (
                   SELECT arg_max(rowid, "at") FROM decisions
                   WHERE occasion = 'changed' AND objective = $objective AND {SOUND_DECISION} GROUP BY src, dst)""",  # noqa: S608 - constants
            objective,
            sites,
        )

    def columns(
        self, sql: str, objective: Objective, sites: tuple[str, ...], parameters: Mapping[str, object] | None = None
    ) -> RouteDecisions:
        """What a query of SELECT_COLUMNS finds, in its order; a decision about a site that is gone is left out."""
        found = self.database.columns(
            f"SELECT * FROM ({sql}) WHERE src IS NOT NULL AND dst IS NOT NULL AND via IS NOT NULL",  # noqa: S608
            {"objective": objective, "sites": list(sites), **(parameters or {})},
        )
        arrays = {name: np.ma.filled(found[name].astype(kind), _UNKNOWN[kind]) for name, kind in _COLUMNS.items()}
        return RouteDecisions(objective=objective, sites=sites, **arrays)

    def placements(self, since: datetime, until: datetime) -> list[PlacementDecision]:
        """The placements in `[since, until)`, oldest first, without the answers' text."""
        rows = self.database.rows(
            """SELECT "at", job, site, done_p50_s, done_p90_s FROM placements
               WHERE "at" >= ? AND "at" < ? ORDER BY "at", rowid""",
            [naive(since), naive(until)],
        )
        return [
            PlacementDecision(at.replace(tzinfo=UTC), job, site, _number(p50), _number(p90))
            for at, job, site, p50, p90 in rows
        ]

    def prune(self, before: datetime) -> Iterator[int]:
        """Delete what was decided before, except the active routes: a slice at each step, which says how many."""
        for table, kept in (("decisions", _ACTIVE), ("placements", "false")):
            old = f'"at" < $before AND NOT ({kept})'
            while True:
                # The moments of one slice; of one moment there are at most as many as pairs and objectives.
                ((until,),) = self.database.rows(
                    f'SELECT max("at") FROM (SELECT "at" FROM {table} WHERE {old} ORDER BY "at" LIMIT {PRUNED_ROWS})',  # noqa: S608
                    {"before": naive(before)},
                )
                if until is None:
                    break
                with self.database.transaction() as connection:
                    ((deleted,),) = connection.execute(
                        f'DELETE FROM {table} WHERE {old} AND "at" <= $until',  # noqa: S608 - names of our own
                        {"before": naive(before), "until": until},
                    ).fetchall()
                yield deleted


def _insert(connection: duckdb.DuckDBPyConnection, occasion: Occasion, decisions: RouteDecisions) -> None:
    connection.register("batch", {name: getattr(decisions, name).astype(kind) for name, kind in _COLUMNS.items()})
    connection.execute(
        _INSERT_COLUMNS,
        {"occasion": occasion, "objective": decisions.objective, "sites": list(decisions.sites)},
    )
    connection.unregister("batch")


def _figures(path: PathExpectation, objective: Objective) -> tuple[float | None, float | None]:
    return {
        "latency": (path.rtt_p50_s, path.rtt_p90_s),
        "goodput": (path.goodput_p50_bps, path.goodput_p90_bps),
        "completion": (path.completion_p50_s, path.completion_p90_s),
    }[objective]


def _columns(table: str, rows: Sequence[LoggedDecision]) -> dict[str, npt.NDArray[Any]]:
    return {name: _column(sql, [getattr(row, name) for row in rows]) for name, sql in DECISION_TABLES[table].items()}


def _column(sql: str, values: Sequence[Any]) -> npt.NDArray[Any]:
    if sql == "TIMESTAMP":
        return np.array([microseconds(at) for at in values], dtype=np.int64).view("datetime64[us]")
    if sql == "DOUBLE":
        return np.array(values, dtype=np.float64)
    return np.array([" ".join(value) if isinstance(value, tuple) else value for value in values], dtype=object)


def route_decision(row: tuple[Any, ...]) -> RouteDecision:
    """The decision that a row of all columns but `answer` holds."""
    at, occasion, src, dst, objective, path, p50, p90, direct_p50 = row
    figures = (_number(p50), _number(p90), _number(direct_p50))
    return RouteDecision(at.replace(tzinfo=UTC), occasion, src, dst, objective, tuple(path.split()), *figures)


def _number(value: float | None) -> float | None:
    """A column's NaN is None: numpy has no other way to write it. So is what is not finite otherwise."""
    return value if value is not None and np.isfinite(value) else None
