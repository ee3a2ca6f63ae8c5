"""Figures in the units that people read, – where there is none."""

from __future__ import annotations

import math

NEVER = "–"
# Ascending limits, each with the unit in seconds and the format of what is below it.
_AGES: tuple[tuple[float, float, str], ...] = (
    (120.0, 1.0, "{:.0f} s"),
    (7200.0, 60.0, "{:.0f} min"),
    (172800.0, 3600.0, "{:.0f} h"),
    (math.inf, 86400.0, "{:.0f} d"),
)
_DIGITS: tuple[tuple[float, str], ...] = ((1.0, "{:.3f}"), (10.0, "{:.2f}"), (100.0, "{:.1f}"), (math.inf, "{:.0f}"))
_DURATIONS: tuple[tuple[float, float, str], ...] = (
    (1e-3, 1e-6, "µs"),
    (1.0, 1e-3, "ms"),
    (120.0, 1.0, "s"),
    (7200.0, 60.0, "min"),
    (172800.0, 3600.0, "h"),
    (math.inf, 86400.0, "d"),
)


def milliseconds(seconds: float | None) -> str:
    """A time in ms, to three digits."""
    return NEVER if seconds is None else _digits(1e3 * seconds)


def megabits(bits_per_second: float | None) -> str:
    """A rate in Mbit/s, to three digits."""
    return NEVER if bits_per_second is None else _digits(bits_per_second / 1e6)


def percent(ratio: float | None) -> str:
    """A ratio in %; a loss is never rounded to none."""
    if ratio is None:
        return NEVER
    return "<0.1" if 0 < ratio < 0.001 else f"{100 * ratio:.1f}"


def age(seconds: float | None) -> str:
    """An age in the largest unit that says enough."""
    if seconds is None:
        return NEVER
    unit_s, form = next((unit_s, form) for limit_s, unit_s, form in _AGES if seconds < limit_s)
    return form.format(seconds / unit_s)


def _digits(value: float) -> str:
    return next(form for limit, form in _DIGITS if value < limit).format(value)


def money(usd: float | None) -> str:
    """A price in USD."""
    return NEVER if usd is None else f"{usd:.2f}" if usd < 1000 else f"{usd:.0f}"


def duration(seconds: float | None) -> str:
    """A time that something takes, from µs to days, to three digits."""
    if seconds is None:
        return NEVER
    unit_s, name = next((unit_s, name) for limit_s, unit_s, name in _DURATIONS if seconds < limit_s)
    return f"{_digits(seconds / unit_s)} {name}"
