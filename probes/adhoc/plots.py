"""Plots out of characters: a histogram, a curve over time, a sparkline. Plain lines, no colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from linkweather.units import RATES, TIMES, Unit, fitting

LOST = "×"
_RISING = " ▁▂▃▄▅▆▇█"
_GROWING = " ▏▎▍▌▋▊▉█"
# Widths of bins, and tops of axes, in powers of ten.
_WIDTHS = (1.0, 2.0, 5.0, 10.0)
_TOPS = (1.0, 1.2, 1.6, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
# Floating-point noise must not push a value that lies on an edge into the bin below.
_NOISE = 1e-9


@dataclass(frozen=True, slots=True)
class Bin:
    """How many values lie in [low, high); `high` is None for the open bin at a histogram's end."""

    low: float
    high: float | None
    count: int


def histogram(values: Sequence[float], rows: int = 10) -> list[Bin]:
    """About `rows` bins (at most two more) with round edges; stragglers share one open bin at the end.

    A straggler is above p95 by more than the width of the body, p95 minus the smallest: one
    RTT of a second would otherwise squeeze all others into a single bin.
    """
    ordered = sorted(values)
    if not ordered:
        return []
    smallest, p95 = ordered[0], ordered[ceil(0.95 * len(ordered)) - 1]
    top = min(ordered[-1], max(2 * p95 - smallest, p95 * 1.05))
    step = _round_up((top - smallest) / rows or smallest / 100 or 1.0, _WIDTHS)
    first, last = _place(smallest, step), _place(top, step)
    counts = [0] * (last - first + 2)
    for value in ordered:
        counts[min(_place(value, step), last + 1) - first] += 1
    *closed, beyond = counts
    bins = [Bin(n * step, (n + 1) * step, count) for n, count in enumerate(closed, first)]
    return [*bins, Bin((last + 1) * step, None, beyond)] if beyond else bins


def distribution(values: Sequence[float], width: int = 60, rows: int = 10) -> list[str]:
    """A histogram of times in seconds: a line a bin with its edges and their unit, a bar, the count."""
    bins = histogram(values, rows)
    if not bins:
        return []
    unit = fitting(bins[-1].low, TIMES)
    labels = [_edges(each, bins[0], unit) for each in bins]
    margin = max(len(label) for label in labels)
    most = max(each.count for each in bins)
    room = width - margin - 3 - len(str(most))
    return [
        f"{label:>{margin}} │{_bar(each.count / most, room)} {each.count or ''}".rstrip()
        for label, each in zip(labels, bins, strict=True)
    ]


def over_time(rates_bps: Sequence[float], interval_s: float, width: int = 60, height: int = 4) -> list[str]:
    """Rates as columns over time: the y axis from zero with its unit, the x axis in seconds; `height` is even."""
    if not rates_bps:
        return []
    top = _round_up(max(rates_bps), _TOPS) if max(rates_bps) > 0 else 1.0
    unit = fitting(top, RATES)
    labels = {height - 1: unit.text(top), height // 2 - 1: unit.number(top / 2)}
    margin = max(len(label) for label in labels.values())
    columns = _fit(rates_bps, width - margin - 2)
    lines = [
        f"{labels.get(row, ''):>{margin}} ┤" + "".join(_cell(value / top * height - row, _RISING) for value in columns)
        for row in range(height - 1, -1, -1)
    ]
    end = f"{len(rates_bps) * interval_s:.3g} s"
    axis = f"{'0':>{margin}} └{'─' * len(columns)}"
    return [*(line.rstrip() for line in lines), axis, f"{'':>{margin}}  0{end:>{max(len(columns) - 1, len(end) + 1)}}"]


def sparkline(values: Sequence[float | None]) -> str:
    """A character a value, the lowest block for the smallest, `×` for None (lost)."""
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    # The scale spans at least a tenth of the highest value: a steady path is a flat line, and not its noise.
    span = max(high - low, high * 0.1, _NOISE)
    return "".join(LOST if value is None else _RISING[1 + round(7 * (value - low) / span)] for value in values)


def _place(value: float, step: float) -> int:
    return floor(value / step + _NOISE)


def _round_up(value: float, round_numbers: Sequence[float]) -> float:
    power = 10.0 ** floor(log10(value))
    return next(number * power for number in round_numbers if number * power >= value * (1 - _NOISE))


def _edges(each: Bin, sample: Bin, unit: Unit) -> str:
    step = (sample.high or sample.low) - sample.low
    decimals = max(0, -floor(log10(step / unit.size) + _NOISE))
    low = f"{each.low / unit.size:.{decimals}f}"
    if each.high is None:
        return f"≥ {low} {unit.name}"
    return f"{low} – {each.high / unit.size:.{decimals}f} {unit.name}"


def _bar(share: float, room: int) -> str:
    filled = share * room
    bar = "█" * int(filled) + _cell(filled - int(filled), _GROWING)
    # A bin that is not empty is visible.
    return bar.rstrip() or ("▏" if share > 0 else "")


def _cell(filled: float, blocks: str) -> str:
    return blocks[round(8 * min(max(filled, 0.0), 1.0))]


def _fit(values: Sequence[float], width: int) -> list[float]:
    """One column a value, two where there is room, and means of neighbours where there is too little."""
    if len(values) <= width:
        wide = 2 if 2 * len(values) <= width else 1
        return [value for value in values for _ in range(wide)]
    group = ceil(len(values) / width)
    parts = [values[start : start + group] for start in range(0, len(values), group)]
    return [sum(part) / len(part) for part in parts]
