"""Numbers for people: three significant digits and a unit that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

MISSING = "–"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit's name, and how many SI base units it holds."""

    name: str
    size: float

    def number(self, value: float) -> str:
        """The value in this unit, without the unit's name."""
        return three_digits(value / self.size)

    def text(self, value: float) -> str:
        """The value with the unit's name."""
        return f"{self.number(value)} {self.name}"


# Smallest first.
TIME = (Unit("µs", 1e-6), Unit("ms", 1e-3), Unit("s", 1.0))
RATE = (Unit("bit/s", 1.0), Unit("kbit/s", 1e3), Unit("Mbit/s", 1e6), Unit("Gbit/s", 1e9), Unit("Tbit/s", 1e12))
AMOUNT = (Unit("B", 1.0), Unit("kB", 1e3), Unit("MB", 1e6), Unit("GB", 1e9), Unit("TB", 1e12))


def fitting(value: float, units: Sequence[Unit]) -> Unit:
    """The largest unit that the value fills, as it will be rounded: 999.6 µs is 1.00 ms."""
    filled = [unit for unit in units if _rounded(abs(value) / unit.size) >= 1]
    return filled[-1] if filled else units[0]


def seconds(value: float | None) -> str:
    """A time such as `23.4 ms`."""
    return MISSING if value is None else fitting(value, TIME).text(value)


def rate(value: float | None) -> str:
    """A rate in bits per second, such as `941 Mbit/s`."""
    return MISSING if value is None else fitting(value, RATE).text(value)


def amount(value: float | None) -> str:
    """A number of bytes, such as `352 MB`."""
    if value is None:
        return MISSING
    unit = fitting(value, AMOUNT)
    return f"{value:.0f} B" if unit.name == "B" else unit.text(value)


def three_digits(value: float) -> str:
    """Three significant digits, but never fewer than the integer part: `0.123`, `23.4`, `1234`."""
    if value == 0:
        return "0"
    decimals = max(0, 2 - floor(log10(abs(_rounded(value)))))
    return f"{value:.{decimals}f}"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
