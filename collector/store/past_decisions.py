"""What an evaluation needs of the record, over any time: read by DuckDB as columns, and never more than a bound of it.

Of a long time the decisions of evenly spread moments are taken: at most MOMENTS_MAX moments, fewer of a large mesh,
and about DECISIONS_MAX decisions. The moments at which all routes were sampled come first, so that every pair is seen;
half of the moments are those of changes. Of the measurements, the first of each link after each of these moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from collector.store.columns import MEASURED_AT, naive, sound, times
from collector.store.decision_log import SELECT_COLUMNS, SOUND_DECISION, DecisionLog, RouteDecisions
from linkweather.containment import contained
from linkweather.models.placements import PlacementAnswer
from linkweather.models.routes import Objective
from linkweather.wire import DeviceRow, decode
from linkweather.wire.latency import NOT_PROBED

MOMENTS_MAX = 500
DECISIONS_MAX = 100_000
# So many links are looked up, each at so many moments, whatever the size of the mesh; but of ten moments at least.
MEASUREMENTS_MAX = 200_000
_MOMENTS_LEAST = 10
FLAP_WINDOW_S = 600
# By place of the moment, site and type: what the site said of its devices first after it, and when (since the epoch).
DevicesAfter = Mapping[tuple[int, str, str], tuple[float, DeviceRow]]

# Of each objective the table, what a row is worth, and which rows count. A test that failed says nothing about a path's
# goodput; a latency row without any reply is a path that does not work, unless nothing was sent. Rows that our own
# tests loaded do not count.
_MEASURED: Mapping[Objective, tuple[str, str, str]] = {
    "latency": (
        "latency",
        "CASE WHEN rtt_p50_s IS NULL THEN 'inf'::DOUBLE ELSE rtt_p50_s END",
        f"NOT during_throughput AND (rtt_p50_s IS NOT NULL OR sent > 0 OR failure NOT IN {tuple(sorted(NOT_PROBED))})",
    ),
    "goodput": ("throughput", "goodput_bps", "goodput_bps IS NOT NULL"),
}
_SPAN = """objective = $objective AND "at" >= $since AND "at" < $until"""
_TAKEN = f"{_SPAN} AND occasion IN ('changed', 'sampled')"


@dataclass(frozen=True, slots=True)
class Measurements:
    """What links measured first after `moments`, by the place of the moment and the positions of the sites.

    `value` is in base units; a latency test without any reply has an infinite one.
    """

    moments: npt.NDArray[np.float64]
    place: npt.NDArray[np.int64]
    src: npt.NDArray[np.int64]
    dst: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]

    def after(self, place: int, sites: int, *, both_ways: bool = False) -> npt.NDArray[np.float64]:
        """What was measured after one moment, [src, dst]; NaN where nothing was in time.

        With `both_ways`, each value stands for the other direction, too, where that has none.
        """
        found = np.full((sites, sites), np.nan)
        rows = slice(*np.searchsorted(self.place, [place, place + 1]))
        found[self.src[rows], self.dst[rows]] = self.value[rows]
        return np.where(np.isnan(found), found.T, found) if both_ways else found


@dataclass(frozen=True, slots=True)
class SwitchCounts:
    """Changes of path, those back to the path before within FLAP_WINDOW_S, and the pairs' time from first to last."""

    switches: int = 0
    flaps: int = 0
    pair_hours: float = 0.0


@dataclass(frozen=True, slots=True)
class PastPlacements:
    """The record of placements in `[since, until)`. Every call blocks; raises duckdb.Error when the disk fails."""

    log: DecisionLog
    since: datetime
    until: datetime

    def spread(self, sites: int) -> list[PlacementAnswer]:
        """Evenly spread answers, oldest first, as many as moments of so many `sites` are looked at."""
        span = {"since": naive(self.since), "until": naive(self.until)}
        rows = self.log.database.rows(
            f"""SELECT answer FROM (
                    SELECT answer, row_number() OVER placed - 1 AS place, count(*) OVER () AS total FROM placements
                    WHERE "at" >= $since AND "at" < $until AND answer IS NOT NULL AND {times("at")}
                    WINDOW placed AS (ORDER BY "at", rowid))
                WHERE place % greatest(1, ceil(total / $most)) = 0 ORDER BY place""",  # noqa: S608 - names of our own
            {**span, "most": _moments_most(sites)},
        )
        found = []
        for (text,) in rows:
            with contained("journal row"):
                found.append(decode(PlacementAnswer, text))
        return found

    def devices(self, moments: npt.NDArray[np.float64], within_s: float) -> DevicesAfter:
        """The first report of each site's devices after each of these moments, at most `within_s` later."""
        rows = self.log.database.rows(
            f"""WITH moments AS (SELECT unnest($moments::TIMESTAMP[]) AS moment,
                                        generate_subscripts($moments::TIMESTAMP[], 1) - 1 AS place),
                     said AS (SELECT *, {MEASURED_AT} AS said_at FROM capacity
                              WHERE received_at > $since AND {sound("capacity")}),
                     asked AS (FROM moments CROSS JOIN (SELECT DISTINCT site, "type" FROM said))
                SELECT place, asked.site, epoch(said_at), asked."type", total, free, queue_s, queued_device_hours
                FROM asked ASOF JOIN said
                ON asked.site = said.site AND asked."type" = said."type" AND moment < said_at
                WHERE epoch(said_at) - epoch(moment) <= $within""",  # noqa: S608 - names of our own
            {"moments": _naive(moments), "within": within_s, "since": naive(self.since)},
        )
        names = ("type", "total", "free", "queue_s", "queued_device_hours")
        return {
            (place, site, said[0]): (at, DeviceRow(**dict(zip(names, said, strict=True))))
            for place, site, at, *said in rows
        }


@dataclass(frozen=True, slots=True)
class PastDecisions:
    """The record for one objective in `[since, until)`. Every call blocks; raises duckdb.Error when the disk fails."""

    log: DecisionLog
    objective: Objective
    sites: tuple[str, ...]
    since: datetime
    until: datetime

    def spread(self) -> RouteDecisions:
        """The decisions of evenly spread moments, oldest first, about the pairs of `sites`."""
        steps = self._steps()
        return self.log.columns(
            f"""WITH moments AS (SELECT occasion, "at",
                                        row_number() OVER (PARTITION BY occasion ORDER BY "at") - 1 AS place
                                 FROM (SELECT DISTINCT occasion, "at" FROM decisions WHERE {_TAKEN}))
                SELECT {SELECT_COLUMNS} FROM decisions
                WHERE {_TAKEN} AND {SOUND_DECISION} AND (occasion, "at") IN (
                    SELECT (occasion, "at") FROM moments
                    WHERE place % CASE occasion WHEN 'sampled' THEN $sampled ELSE $changed END = 0)
                ORDER BY decisions."at", rowid""",  # noqa: S608 - names of our own
            self.objective,
            self.sites,
            {**self._times(), **steps},
        )

    def _steps(self) -> dict[str, int]:
        """Of each occasion the step from one moment that is taken to the next."""
        rows = self.log.database.rows(
            f'SELECT occasion, count(DISTINCT "at"), count(*) FROM decisions WHERE {_TAKEN} GROUP BY occasion',  # noqa: S608
            self._span(),
        )
        counts = {occasion: (moments, decisions) for occasion, moments, decisions in rows}
        left = _moments_most(len(self.sites))
        steps = {}
        for occasion in ("sampled", "changed"):
            moments, decisions = counts.get(occasion, (0, 0))
            share = -(-left // 2) if occasion == "sampled" and "changed" in counts else left
            steps[occasion] = max(1, -(-moments // max(1, share)), -(-decisions // DECISIONS_MAX))
            left -= -(-moments // steps[occasion])
        return steps

    def measured(self, moments: npt.NDArray[np.float64], within_s: float) -> Measurements:
        """The first measurement of each link after each of these moments, at most `within_s` later."""
        table, value, counts = _MEASURED[self.objective]
        # A moment's measurements lie in two bins of `within_s`: so one pass over the rows finds them all.
        found = self.log.database.columns(
            f"""WITH moments AS (SELECT unnest($moments::TIMESTAMP[]) AS moment,
                                        generate_subscripts($moments::TIMESTAMP[], 1) - 1 AS place),
                     bins AS (SELECT *, floor(epoch(moment) / $within) + unnest([0, 1]) AS bin FROM moments),
                     ends AS (SELECT unnest($sites) AS name, generate_subscripts($sites, 1) - 1 AS position),
                     measured AS (SELECT one.position AS src, other.position AS dst, {MEASURED_AT} AS measured_at,
                                         {value} AS value
                                  FROM {table} JOIN ends AS one ON src = one.name JOIN ends AS other ON dst = other.name
                                  WHERE received_at > $since AND {sound(table)} AND {counts})
                SELECT place, src, dst, arg_min(value, measured_at) AS value
                FROM measured JOIN bins ON floor(epoch(measured_at) / $within) = bin
                WHERE measured_at > moment AND epoch(measured_at) - epoch(moment) <= $within
                GROUP BY place, src, dst""",  # noqa: S608
            {
                "moments": _naive(moments),
                "within": within_s,
                "since": naive(self.since),
                "sites": list(self.sites),
            },
        )
        order = np.argsort(found["place"].astype(np.uint16), kind="stable")  # by digits: DuckDB's ORDER BY costs more
        places, src, dst = (np.asarray(found[name], np.int64)[order] for name in ("place", "src", "dst"))
        return Measurements(moments, places, src, dst, np.asarray(found["value"], np.float64)[order])

    def changes(self) -> SwitchCounts:
        """How often paths changed."""
        ((switches, flaps),) = self.log.database.rows(
            f"""SELECT count(*) FILTER (path <> before),
                       count(*) FILTER (path = earlier AND path <> before
                                        AND epoch("at") - epoch(since) <= $window)
                FROM (SELECT "at", path, lag(path) OVER pair AS before, lag(path, 2) OVER pair AS earlier,
                             lag("at") OVER pair AS since
                      FROM decisions WHERE {_SPAN} AND occasion = 'changed'
                      WINDOW pair AS (PARTITION BY src, dst ORDER BY "at", rowid))""",  # noqa: S608
            {**self._span(), "window": FLAP_WINDOW_S},
        )
        ((hours,),) = self.log.database.rows(
            f"""SELECT coalesce(sum(seconds), 0) / 3600 FROM (
                    SELECT epoch(max("at")) - epoch(min("at")) AS seconds FROM decisions WHERE {_SPAN}
                    GROUP BY src, dst)""",  # noqa: S608
            self._span(),
        )
        return SwitchCounts(switches, flaps, hours)

    def _span(self) -> dict[str, object]:
        return {"objective": self.objective, **self._times()}

    def _times(self) -> dict[str, object]:
        return {"since": naive(self.since), "until": naive(self.until)}


def _moments_most(sites: int) -> int:
    """How many moments of a mesh of so many sites are looked at."""
    return min(MOMENTS_MAX, max(_MOMENTS_LEAST, MEASUREMENTS_MAX // max(1, sites) ** 2))


def _naive(moments: npt.NDArray[np.float64]) -> list[datetime]:
    return [naive(datetime.fromtimestamp(at, UTC)) for at in moments.tolist()]
