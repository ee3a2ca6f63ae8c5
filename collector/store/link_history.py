"""One link over any span, from rows, minutes or hours: what the roll-ups know, and rows that are not in them yet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from collector.settings import JournalSettings
from collector.store import roll_up_tables
from collector.store.columns import MEASURED_AT, naive
from collector.store.database import Database, Query
from collector.store.roll_up_tables import FIGURES, HOURS, MINUTES, SKETCH, Resolution
from linkweather.models.link_history import LinkHistoryAnswer, LinkHistoryStep

STEPS_WANTED: Final = 100  # of a span, where no step is asked for
STEPS_MAX: Final = 10_000
ROWS_FOR: Final = timedelta(hours=6)  # a longer span is not read from rows
_STEPS_S: Final = (10, 30, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400, 7 * 86_400, 30 * 86_400)
_QUANTILES: Mapping[str, float] = {
    "rtt_p05_s": 0.05,
    "rtt_p25_s": 0.25,
    "rtt_p50_s": 0.5,
    "rtt_p75_s": 0.75,
    "rtt_p95_s": 0.95,
    "rtt_p99_s": 0.99,
}


@dataclass(frozen=True, slots=True)
class HistorySpan:
    """A span of one link, by steps of `step_s`; `resolution` is that of its roll-ups, None where rows are read."""

    since: datetime
    until: datetime
    step_s: int
    resolution: Resolution | None

    @property
    def name(self) -> Literal["rows", "minutes", "hours"]:
        """What is read."""
        return self.resolution.name if self.resolution else "rows"


def default_step_s(span_s: float) -> int:
    """The round step by which a span has no more than about STEPS_WANTED."""
    return next((step_s for step_s in _STEPS_S if span_s / step_s <= STEPS_WANTED), _STEPS_S[-1])


def span(since: datetime, until: datetime, step_s: float, now: datetime, settings: JournalSettings) -> HistorySpan:
    """Which resolution answers best: the finest that is still kept and is not finer than the step.

    The step becomes a multiple of the resolution's own, and the span begins with a whole one.
    """
    has_rows = settings.row_days is None or now - since <= timedelta(days=settings.row_days)
    has_minutes = (now - since).total_seconds() <= settings.minute_days * 86_400
    if step_s < HOURS.step_s and has_minutes:
        if has_rows and (step_s < MINUTES.step_s or until - since <= ROWS_FOR):
            return _from_whole_steps(since, until, step_s, None)
        return _from_whole_steps(since, until, step_s, MINUTES)
    return _from_whole_steps(since, until, step_s, HOURS)


def _from_whole_steps(since: datetime, until: datetime, step_s: float, resolution: Resolution | None) -> HistorySpan:
    least_s = resolution.step_s if resolution else 1
    whole_s = max(1, round(step_s / least_s)) * least_s
    first = math.floor(since.timestamp()) // whole_s * whole_s
    return HistorySpan(datetime.fromtimestamp(first, UTC), until, whole_s, resolution)


@dataclass(frozen=True, slots=True)
class LinkHistoryReader:
    """The histories in a journal's database. Any thread may call; every call blocks, and raises duckdb.Error."""

    database: Database

    def history(self, src: str, dst: str, wanted: HistorySpan) -> LinkHistoryAnswer:
        """One link in `[since, until)`, oldest first; steps lie on multiples of the step since 1970."""
        steps: dict[int, dict[str, Any]] = {}
        with self.database.snapshot() as query:
            for kind in FIGURES:
                for number, figures in _read(query, kind, src, dst, wanted).items():
                    steps.setdefault(number, {}).update(figures)
        return LinkHistoryAnswer(
            src=src,
            dst=dst,
            since=wanted.since,
            until=wanted.until,
            step_s=wanted.step_s,
            resolution=wanted.name,
            steps=tuple(_step(number * wanted.step_s, steps[number]) for number in sorted(steps)),
        )


def _read(query: Query, kind: str, src: str, dst: str, wanted: HistorySpan) -> dict[int, dict[str, Any]]:
    """The figures of each step, by its number since 1970."""
    known = list(_QUANTILES) if SKETCH in FIGURES[kind] else []
    figures = [name for name in FIGURES[kind] if name != SKETCH] + known
    parts = _parts(kind, wanted)
    since, until = naive(wanted.since), naive(wanted.until)
    values = {"src": src, "dst": dst, "since": since, "until": until, "number": _rolled(query, kind, src, wanted)}
    stepped = f'SELECT epoch_us("at") // {wanted.step_s * 1_000_000} AS step, * FROM ({parts})'  # noqa: S608
    more = roll_up_tables.quantiles("step", _QUANTILES) if known else ""
    rows = query(
        f"SELECT step, {', '.join(figures)} FROM ({roll_up_tables.added_up(kind, stepped, 'step', more)})",  # noqa: S608
        values,
    )
    return {step: dict(zip(figures, found, strict=True)) for step, *found in rows}


def _parts(kind: str, wanted: HistorySpan) -> str:
    """The parts of the link in the span: those of the roll-ups, and those of rows that are not in them yet."""
    step_s = wanted.resolution.step_s if wanted.resolution else wanted.step_s
    rows = roll_up_tables.parts_of_rows(
        kind,
        step_s,
        f"""number > $number AND src = $src AND dst = $dst AND received_at >= $since
            AND {MEASURED_AT} >= $since AND {MEASURED_AT} < $until""",
    )
    if wanted.resolution is None:
        return rows
    lines = f"""SELECT * FROM {wanted.resolution.table(kind)}
                WHERE src = $src AND dst = $dst AND "at" >= $since AND "at" < $until"""  # noqa: S608
    return f"{lines} UNION ALL BY NAME ({rows})"


def _rolled(query: Query, kind: str, src: str, wanted: HistorySpan) -> int:
    """The number up to which the rows of this source are in the roll-ups."""
    if wanted.resolution is None:
        return 0
    ((number, upto, done),) = query("SELECT number, upto, src FROM rolled WHERE kind = ?", [kind])
    rolled: int = upto if upto is not None and src <= done else number
    return rolled


def _step(at_s: int, found: Mapping[str, Any]) -> LinkHistoryStep:
    seconds = {
        f"{name.removesuffix('_us')}_s": None if value is None else value / 1e6
        for name, value in found.items()
        if name.endswith("_us")
    }
    given = {name: value for name, value in found.items() if not name.endswith("_us")} | seconds
    sent, received = found.get("sent"), found.get("received")
    reports = found.get("reports")
    return LinkHistoryStep(
        at=datetime.fromtimestamp(at_s, UTC),
        loss_ratio=max(0.0, 1 - received / sent) if sent and received is not None else None,
        available_ratio=found["reports_up"] / reports if reports else None,
        **{name: value for name, value in given.items() if name != "reports_up"},
    )
