"""How available and how good links were over a span, from rows, minutes or hours: one figure each for the whole.

Availability counts time. A step (a minute, or an hour) of which there are reports is available for the share of its
reports in which a probe came back, and unavailable for the rest; one without reports is unknown, and counts as neither.
So an hour counts as an hour, however many reports came of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from collector.settings import JournalSettings
from collector.store import roll_up_tables
from collector.store.columns import MEASURED_AT, naive
from collector.store.database import Database, Query
from collector.store.link_history import HistorySpan, span
from collector.store.roll_up_tables import HOURS, MINUTES
from linkweather.models.link_history import LinkSla, SlaAnswer, SlaFigures

_MINUTES_FOR_S: Final = 2 * 86_400  # a longer span of many links is read from hours
_MINUTES_OF_LINK_FOR_S: Final = 31 * 86_400
_QUANTILES: Mapping[str, float] = {"rtt_p50_s": 0.5, "rtt_p95_s": 0.95, "rtt_p99_s": 0.99}
_STEPS = ("steps", "up_steps")
_COUNTS = ("reports", "reports_up", "sent", "received")
_EXTREMES = ("rtt_min_us", "rtt_max_us")
_LINK = "src = $src AND dst = $dst"
_MESH = "true"
_SITE = "(src = $site OR dst = $site)"


def sla_span(
    since: datetime, until: datetime, now: datetime, settings: JournalSettings, *, of_link: bool = False
) -> HistorySpan:
    """What is read of a span: the finest that is kept and quick to read; it begins with a whole minute, or hour."""
    long = (until - since).total_seconds() > (_MINUTES_OF_LINK_FOR_S if of_link else _MINUTES_FOR_S)
    return span(since, until, HOURS.step_s if long else MINUTES.step_s, now, settings)


@dataclass(frozen=True, slots=True)
class SlaReader:
    """Reads a journal's database. Any thread may call; every call blocks, and raises duckdb.Error."""

    database: Database

    def of_link(self, src: str, dst: str, wanted: HistorySpan) -> SlaAnswer:
        """One link in `[since, until)`."""
        return self._answer(_LINK, {"src": src, "dst": dst}, wanted, None)

    def of_site(self, site: str, wanted: HistorySpan) -> SlaAnswer:
        """All links from and to a site."""
        return self._answer(_SITE, {"site": site}, wanted, site)

    def of_mesh(self, wanted: HistorySpan) -> SlaAnswer:
        """All links."""
        return self._answer(_MESH, {}, wanted, None)

    def _answer(self, which: str, names: Mapping[str, str], wanted: HistorySpan, site: str | None) -> SlaAnswer:
        values = {**names, "since": naive(wanted.since), "until": naive(wanted.until)}
        with self.database.snapshot() as query:
            parts = _parts(which, wanted)
            ((number, upto, done),) = query("SELECT number, upto, src FROM rolled WHERE kind = 'latency'")
            if wanted.resolution is None:
                number = upto = 0
            values |= {"number": number, "upto": number if upto is None else upto, "done": done or ""}
            links = [LinkSla(**one) for one in _read(query, parts, values, wanted)]
            whole = f"SELECT * REPLACE ('' AS src, '' AS dst) FROM ({parts})"  # noqa: S608 - our own query
            together = [SlaFigures.model_validate(one) for one in _read(query, whole, values, wanted)]
        return SlaAnswer(
            site=site,
            since=wanted.since,
            until=wanted.until,
            resolution=wanted.name,
            together=next(iter(together), SlaFigures()).model_copy(update=_time_of(links)),
            links=tuple(sorted(links, key=lambda one: (one.available_ratio or 0.0, one.src, one.dst))),
        )


def _read(query: Query, parts: str, values: Mapping[str, Any], wanted: HistorySpan) -> list[dict[str, Any]]:
    """The figures of each link of the parts."""
    figures = [*_COUNTS, *_EXTREMES, *_QUANTILES]
    added = roll_up_tables.added_up("latency", parts, "src, dst", roll_up_tables.quantiles("src, dst", _QUANTILES))
    steps = f"""
        SELECT src, dst, count(*) AS steps, sum(up::DOUBLE / reports) AS up_steps FROM (
            SELECT src, dst, "at", sum(reports) AS reports, sum(reports_up) AS up FROM ({parts}) GROUP BY ALL)
        GROUP BY ALL"""  # noqa: S608
    rows = query(
        f"SELECT src, dst, {', '.join((*_STEPS, *figures))} FROM ({added}) JOIN ({steps}) USING (src, dst)",  # noqa: S608
        values,
    )
    return [_figures(dict(zip(("src", "dst", *_STEPS, *figures), row, strict=True)), wanted) for row in rows]


def _parts(which: str, wanted: HistorySpan) -> str:
    """The parts of the links in the span: those of the roll-ups, and those of rows that are not in them yet."""
    within = f"{MEASURED_AT} >= $since AND {MEASURED_AT} < $until AND received_at >= $since"
    new = "number > CASE WHEN src <= $done THEN $upto ELSE $number END"
    rows = roll_up_tables.parts_of_rows("latency", wanted.step_s, f"{new} AND {which} AND {within}")
    if wanted.resolution is None:
        return rows
    table = wanted.resolution.table("latency")
    return f"""SELECT * FROM {table} WHERE {which} AND "at" >= $since AND "at" < $until
               UNION ALL BY NAME ({rows})"""  # noqa: S608 - names of our own


def _figures(row: dict[str, Any], wanted: HistorySpan) -> dict[str, Any]:
    steps, up, _ = row.pop("steps"), row.pop("up_steps"), row.pop("reports_up")
    sent, received = row["sent"], row["received"]
    extremes = {name.removesuffix("_us") + "_s": row.pop(name) for name in _EXTREMES}
    span_s = (wanted.until - wanted.since).total_seconds()
    whole = -(-span_s // wanted.step_s)
    known_s = span_s * min(1.0, steps / whole)
    return {
        **row,
        **{name: None if value is None else value / 1e6 for name, value in extremes.items()},
        **_shares(known_s * up / steps, known_s - known_s * up / steps, span_s - known_s),
        "loss_ratio": max(0.0, 1 - received / sent) if sent and received is not None else None,
    }


def _shares(available_s: float, unavailable_s: float, unknown_s: float) -> dict[str, float | None]:
    known_s = available_s + unavailable_s
    return {
        "available_s": available_s,
        "unavailable_s": unavailable_s,
        "unknown_s": unknown_s,
        "available_ratio": available_s / known_s if known_s else None,
        "measured_ratio": known_s / (known_s + unknown_s),
    }


def _time_of(links: Sequence[LinkSla]) -> dict[str, float | None]:
    """The time of all links together: that of each, added up."""
    times = zip(*((one.available_s, one.unavailable_s, one.unknown_s) for one in links), strict=True)
    return _shares(*(sum(one) for one in times)) if links else {}
