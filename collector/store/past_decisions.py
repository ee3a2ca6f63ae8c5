"""What an evaluation needs of the record, over any time: read by DuckDB, and never more than a bound of it.

Of a long time the decisions of evenly spread moments are taken: at most MOMENTS_MAX moments, and about DECISIONS_MAX
decisions. Of the measurements, the first of each link after each of these moments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from collector.store.columns import MEASURED_AT, naive, sound
from collector.store.database import Database
from collector.store.decision_log import RouteDecision, route_decision
from linkweather.models.routes import Objective

MOMENTS_MAX = 500
DECISIONS_MAX = 100_000
FLAP_WINDOW_S = 600

# Of each objective the table, what a row is worth, and which rows count. A test that failed says nothing about a path's
# goodput; a latency row without any reply is a path that does not work. Rows that our own tests loaded do not count.
_MEASURED: Mapping[Objective, tuple[str, str, str]] = {
    "latency": (
        "latency",
        "CASE WHEN rtt_p50_s IS NULL THEN 'inf'::DOUBLE ELSE rtt_p50_s END",
        "NOT during_throughput AND (rtt_p50_s IS NOT NULL OR failure IS NOT NULL OR sent > 0)",
    ),
    "goodput": ("throughput", "goodput_bps", "goodput_bps IS NOT NULL"),
}
_SPAN = """objective = $objective AND "at" >= $since AND "at" < $until"""
_TAKEN = f"{_SPAN} AND occasion IN ('changed', 'sampled')"


@dataclass(frozen=True, slots=True)
class Measurements:
    """Measured values of links, in order of time for each link: `at_s` since the epoch, `value` in base units.

    A latency test without any reply has an infinite value.
    """

    src: npt.NDArray[np.object_]
    dst: npt.NDArray[np.object_]
    at_s: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SwitchCounts:
    """Changes of path, those back to the path before within FLAP_WINDOW_S, and the pairs' time from first to last."""

    switches: int = 0
    flaps: int = 0
    pair_hours: float = 0.0


@dataclass(frozen=True, slots=True)
class PastDecisions:
    """The record for one objective in `[since, until)`. Every call blocks; raises duckdb.Error when the disk fails."""

    database: Database
    objective: Objective
    since: datetime
    until: datetime

    def spread(self) -> list[RouteDecision]:
        """The decisions of evenly spread moments, oldest first, without the answers' text."""
        ((moments, decisions),) = self.database.rows(
            f'SELECT count(DISTINCT "at"), count(*) FROM decisions WHERE {_TAKEN}',  # noqa: S608 - names of our own
            self._span(),
        )
        step = max(1, -(-moments // MOMENTS_MAX), -(-decisions // DECISIONS_MAX))
        rows = self.database.rows(
            f"""WITH moments AS (SELECT "at", row_number() OVER (ORDER BY "at") - 1 AS place
                                 FROM (SELECT DISTINCT "at" FROM decisions WHERE {_TAKEN}))
                SELECT "at", occasion, src, dst, objective, path, p50, p90, direct_p50 FROM decisions
                WHERE {_TAKEN} AND "at" IN (SELECT "at" FROM moments WHERE place % $step = 0)
                ORDER BY "at", rowid""",  # noqa: S608
            {**self._span(), "step": step},
        )
        return [route_decision(row) for row in rows]

    def measured(self, moments: Sequence[datetime], within_s: float) -> Measurements:
        """The first measurement of each link after each of these moments, at most `within_s` later."""
        table, value, counts = _MEASURED[self.objective]
        # A moment's measurements lie in two bins of `within_s`: so one pass over the rows finds them all.
        rows = self.database.rows(
            f"""WITH moments AS (SELECT unnest($moments::TIMESTAMP[]) AS moment),
                     bins AS (SELECT moment, floor(epoch(moment) / $within) + unnest([0, 1]) AS bin FROM moments),
                     measured AS (SELECT src, dst, {MEASURED_AT} AS measured_at, {value} AS value FROM {table}
                                  WHERE received_at > $since AND {sound(table)} AND {counts})
                SELECT src, dst, epoch(min(measured_at)), arg_min(value, measured_at)
                FROM measured JOIN bins ON floor(epoch(measured_at) / $within) = bin
                WHERE measured_at > moment AND epoch(measured_at) - epoch(moment) <= $within
                GROUP BY src, dst, moment ORDER BY moment""",  # noqa: S608
            {"moments": [naive(one) for one in moments], "within": within_s, "since": naive(self.since)},
        )
        src, dst, at_s, value_ = zip(*rows, strict=True) if rows else ((), (), (), ())
        return Measurements(
            np.array(src, dtype=object), np.array(dst, dtype=object), np.array(at_s, float), np.array(value_, float)
        )

    def changes(self) -> SwitchCounts:
        """How often paths changed."""
        ((switches, flaps),) = self.database.rows(
            f"""SELECT count(*) FILTER (path <> before),
                       count(*) FILTER (path = earlier AND path <> before
                                        AND epoch("at") - epoch(since) <= $window)
                FROM (SELECT "at", path, lag(path) OVER pair AS before, lag(path, 2) OVER pair AS earlier,
                             lag("at") OVER pair AS since
                      FROM decisions WHERE {_SPAN} AND occasion = 'changed'
                      WINDOW pair AS (PARTITION BY src, dst ORDER BY "at", rowid))""",  # noqa: S608
            {**self._span(), "window": FLAP_WINDOW_S},
        )
        ((hours,),) = self.database.rows(
            f"""SELECT coalesce(sum(seconds), 0) / 3600 FROM (
                    SELECT epoch(max("at")) - epoch(min("at")) AS seconds FROM decisions WHERE {_SPAN}
                    GROUP BY src, dst)""",  # noqa: S608
            self._span(),
        )
        return SwitchCounts(switches, flaps, hours)

    def _span(self) -> dict[str, object]:
        return {"objective": self.objective, "since": naive(self.since), "until": naive(self.until)}
