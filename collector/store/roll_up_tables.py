"""What is kept of rows for long: per link and minute or hour, counts, extremes, means and a sketch of the RTT. SQL.

A line of a roll-up is *a part*: what some rows of one link and minute add up to. Parts of the same minute add up to one
in turn: counts are summed, a mean is weighted by its count, sketches are joined. So rows that come late add a part,
and no line is ever changed in its place; whoever reads adds the parts up.

The sketch is that of DDSketch (Masson, Rim, Lee, VLDB 2019), by DuckDB's own `histogram`: how many rows had their
median RTT in each bucket of a logarithmic scale, so that every quantile is within RTT_ERROR of a row's own. A row, and
so the sketch, knows its median; the extremes of single probes are in `rtt_min_us` and `rtt_max_us`.

RTTs are whole microseconds and goodputs whole bit/s: DuckDB packs small differences between whole numbers, which lie
beside each other as the lines are sorted by link, into few bits. So are times in whole seconds: the longer the stretch
that is sorted at once, the more lines of one link lie together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from collector.store.columns import MEASURED_AT, times

RTT_ERROR: Final = 0.01
SKETCH: Final = "rtts"
_GROWTH: Final = (1 + RTT_ERROR) / (1 - RTT_ERROR)  # from a bucket of the sketch to the next one
_JOINED: Final = f"map_from_entries(list((code, rows) ORDER BY code)) AS {SKETCH}"
_MOST: Final = 1_000_000_000  # what a count of a row may be: a journal may hold what no message could


class Figure(NamedTuple):
    """One column: its type, how rows give it, and how parts of it add up. SQL."""

    type: str
    of_rows: str
    of_parts: str


def _sum(rows: str) -> Figure:
    return Figure("BIGINT", rows, "sum({0})::BIGINT")


def _count(name: str) -> Figure:
    return _sum(f"(sum({name}) FILTER ({name} BETWEEN 0 AND {_MOST}))::BIGINT")


def _extreme(which: str, value: str) -> Figure:
    return Figure("BIGINT", f"round({which}({value}))::BIGINT", f"{which}({{0}})")


def _mean(value: str, weight: str, total: str) -> Figure:
    mean = "round(sum({0}::DOUBLE * {1}) / nullif(sum({1}) FILTER ({0} IS NOT NULL), 0))::BIGINT"
    return Figure("BIGINT", mean.format(value, weight), mean.format("{0}", total))


def _within(value: str, factor: float, most: float) -> str:
    return f"(CASE WHEN {value} > 0 AND {value} <= {most} THEN {value} * {factor} END)"


def _rtt_us(name: str) -> str:
    return _within(name, 1e6, 3600.0)


_GOODPUT = _within("goodput_bps", 1, 1e15)
_LATENCY: Mapping[str, Figure] = {
    "reports": _sum("count(*)"),
    "reports_up": _sum("count(*) FILTER (received > 0)"),
    "sent": _count("sent"),
    "received": _count("received"),
    "lost_forward": _count("lost_forward"),
    "lost_back": _count("lost_back"),
    "rtt_min_us": _extreme("min", _rtt_us("rtt_min_s")),
    "rtt_mean_us": _mean(_rtt_us("rtt_mean_s"), f"least(received, {_MOST})", "received"),
    "rtt_max_us": _extreme("max", _rtt_us("rtt_max_s")),
    SKETCH: Figure(
        "MAP(INTEGER, BIGINT)",
        f"histogram(ceil(ln({_rtt_us('rtt_p50_s')}) / {math.log(_GROWTH)})::INTEGER)::MAP(INTEGER, BIGINT)",
        "",  # see `added_up`
    ),
}
_THROUGHPUT: Mapping[str, Figure] = {
    "tests": _sum("count(*)"),
    "measured": _sum(f"count({_GOODPUT})"),
    "goodput_min_bps": _extreme("min", _GOODPUT),
    "goodput_mean_bps": _mean(_GOODPUT, "1", "measured"),
    "goodput_max_bps": _extreme("max", _GOODPUT),
}
# The kinds of rows that are rolled up, and the figures of each.
FIGURES: Mapping[str, Mapping[str, Figure]] = {"latency": _LATENCY, "throughput": _THROUGHPUT}


@dataclass(frozen=True, slots=True)
class Resolution:
    """A step of roll-ups; the lines of `sorted_by_s` are sorted by link once that time is over."""

    name: Literal["minutes", "hours"]
    step_s: int
    sorted_by_s: int

    def table(self, kind: str) -> str:
        """The table of the roll-ups of this kind."""
        return f"{kind}_{self.name}"


MINUTES: Final = Resolution("minutes", 60, 3 * 86_400)
HOURS: Final = Resolution("hours", 3600, 30 * 86_400)
RESOLUTIONS: Final = (MINUTES, HOURS)


def definitions() -> Iterator[str]:
    """Makes what is missing: the roll-ups, and how far they are.

    `rolled`: rows of a kind up to `number` are in the roll-ups; of sources up to `src` those up to `upto`.
    `sorted`: lines of a table before `before` are sorted by link, and in the period that follows up to (src, dst).
    """
    yield "CREATE TABLE IF NOT EXISTS rolled (kind VARCHAR, number BIGINT, upto BIGINT, src VARCHAR)"
    yield "CREATE TABLE IF NOT EXISTS sorted (name VARCHAR, before TIMESTAMP, src VARCHAR, dst VARCHAR)"
    for kind, figures in FIGURES.items():
        yield f"INSERT INTO rolled SELECT '{kind}', 0, NULL, NULL WHERE NOT EXISTS (FROM rolled WHERE kind = '{kind}')"
        columns = ", ".join(f"{name} {figure.type}" for name, figure in figures.items())
        for resolution in RESOLUTIONS:
            table = resolution.table(kind)
            yield f'CREATE TABLE IF NOT EXISTS {table} (src VARCHAR, dst VARCHAR, "at" TIMESTAMP_S, {columns})'


def parts_of_rows(kind: str, step_s: int, which: str) -> str:
    """The parts that the rows make for which the condition `which` holds, sorted by link and time."""
    figures = ", ".join(f"{figure.of_rows} AS {name}" for name, figure in FIGURES[kind].items())
    at = f"time_bucket(INTERVAL {step_s} SECONDS, {MEASURED_AT}, TIMESTAMP '1970-01-01')"
    return f"""
        SELECT src, dst, {at} AS "at", {figures}
        FROM {kind}
        WHERE {which} AND src IS NOT NULL AND dst IS NOT NULL AND {times("at")} AND {times("received_at")}
        GROUP BY ALL ORDER BY ALL"""  # noqa: S608 - names of our own


def added_up(kind: str, parts: str, keys: str, more: str = "") -> str:
    """Parts, a query, added up by the columns `keys`, and sorted by them.

    Columns: the keys, the figures but the sketch, and the sketch, or in its place what `more` makes of it.
    """
    figures = FIGURES[kind]
    plain = ", ".join(f"{one.of_parts.format(name)} AS {name}" for name, one in figures.items() if name != SKETCH)
    added = f"SELECT {keys}, {plain} FROM parts GROUP BY ALL"  # noqa: S608 - names of our own
    if SKETCH not in figures:
        return f"WITH parts AS ({parts}) {added} ORDER BY ALL"
    return f"""
        WITH parts AS ({parts}),
        buckets AS (SELECT {keys}, entry.key AS code, sum(entry.value)::BIGINT AS rows
                    FROM (SELECT {keys}, unnest(map_entries({SKETCH})) AS entry FROM parts) GROUP BY ALL),
        sketches AS ({more or f"SELECT {keys}, {_JOINED} FROM buckets GROUP BY ALL"})
        SELECT * FROM ({added}) LEFT JOIN sketches USING ({keys}) ORDER BY {keys}"""  # noqa: S608


def quantiles(keys: str, wanted: Mapping[str, float]) -> str:
    """The `more` of `added_up` that gives these quantiles of the RTT, in seconds, in the place of the sketch."""
    # The middle of a bucket, by which no value of it is off by more than RTT_ERROR.
    value = f"2e-6 / (1 + {_GROWTH}) * pow({_GROWTH}, min(code) FILTER (upto > {{0}} * (total - 1)))"
    columns = ", ".join(f"{value.format(share)} AS {name}" for name, share in wanted.items())
    return f"""
        SELECT {keys}, {columns} FROM (
            SELECT {keys}, code, sum(rows) OVER (PARTITION BY {keys} ORDER BY code) AS upto,
                   sum(rows) OVER (PARTITION BY {keys}) AS total FROM buckets)
        GROUP BY ALL"""  # noqa: S608
