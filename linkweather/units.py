"""Quantities: one parser for what people type, and one formatter for what they read.

`parse_…` takes text such as `50ms`, `100M`, `1%`, `2TB` or `15m` and returns base SI units; it raises UnitError. The
others return text with three significant digits, `–` where there is no value. What is shown can be typed again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from linkweather.errors import UnitError

MISSING = "–"
LONGEST_S = 100 * 366 * 86400.0
# What is allowed, after "must be".
DURATION = "a duration such as 50ms, 60s or 5min"
PERIOD = "a duration longer than 0, such as 50ms, 60s or 5min"
RATE = "a rate in bit/s such as 100M or 1e8"
RATIO = "a ratio such as 0.1 or 10%"
SIZE = "a size in bytes such as 2TB, 500GB or 10MiB"
PRICE = "a price such as 500 or 500USD"
MOMENT = "a time such as 2026-01-31T12:00:00Z, or how long ago, such as 15m"


class Unit(NamedTuple):
    """A unit's name, how many base units it holds, and from how many of it on a value is shown in it."""

    name: str
    size: float
    least: int = 1

    def number(self, value: float) -> str:
        """The value in this unit, without the unit's name."""
        return digits(value / self.size)

    def text(self, value: float) -> str:
        """The value with the unit's name."""
        return f"{self.number(value)} {self.name}"


# Smallest first.
TIMES = (
    Unit("µs", 1e-6),
    Unit("ms", 1e-3),
    Unit("s", 1.0),
    Unit("min", 60.0, least=2),
    Unit("h", 3600.0, least=2),
    Unit("d", 86400.0, least=2),
)
RATES = (Unit("bit/s", 1.0), Unit("kbit/s", 1e3), Unit("Mbit/s", 1e6), Unit("Gbit/s", 1e9), Unit("Tbit/s", 1e12))
SIZES = (Unit("B", 1.0), *(Unit(f"{prefix}B", 1000.0**power) for power, prefix in enumerate("kMGTPE", 1)))

_NUMBER = re.compile(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*(.*)")
_SECONDS: Mapping[str, float] = {"": 1.0, "us": 1e-6, "m": 60.0, **{unit.name: unit.size for unit in TIMES}}
# iperf3 reads `10m` as 10 Mbit/s; a rate has no milli.
_BPS: Mapping[str, float] = {
    f"{prefix}{bits}": 1000.0**power
    for power, prefixes in enumerate(("", "kK", "mM", "gG", "tT"))
    for prefix in prefixes or ("",)
    for bits in ("", "bit", "bit/s")
}
_RATIO: Mapping[str, float] = {"": 1.0, "%": 1e-2}
_USD: Mapping[str, float] = {"": 1.0, "USD": 1.0, "$": 1.0}
_BYTES: Mapping[str, float] = {
    "": 1.0,
    **{unit.name: unit.size for unit in SIZES},
    **{f"{prefix}iB": 1024.0**power for power, prefix in enumerate("KMGTPE", 1)},
}


def parse_duration(text: str) -> float:
    """A duration in seconds: a number with us, ms, s, min or m, h, d; without a unit it means seconds."""
    seconds = _scaled(text, _SECONDS, DURATION)
    if seconds > LONGEST_S:
        raise UnitError(text, "at most 100 years")
    return seconds


def parse_period(text: str) -> float:
    """A duration that is longer than 0."""
    try:
        seconds = parse_duration(text)
    except UnitError as error:
        raise UnitError(text, PERIOD if error.allowed == DURATION else error.allowed) from None
    if seconds == 0:
        raise UnitError(text, PERIOD)
    return seconds


def parse_rate(text: str) -> float:
    """A rate in bit/s: a number with k, M, G or T (powers of 1000), also as Mbit or Mbit/s."""
    return _scaled(text, _BPS, RATE)


def parse_ratio(text: str) -> float:
    """A ratio: a number, or a percentage."""
    return _scaled(text, _RATIO, RATIO)


def parse_size(text: str) -> int:
    """A size in whole bytes: a number with kB to EB (powers of 1000) or KiB to EiB (of 1024)."""
    return round(_scaled(text, _BYTES, SIZE))


def parse_price(text: str) -> float:
    """A price in USD, with or without the unit."""
    return _scaled(text, _USD, PRICE)


def parse_moment(text: str, now: datetime) -> datetime:
    """RFC 3339, `now`, or how long ago, with its unit: `15m`."""
    if text == "now":
        return now
    try:
        # In a query, an unescaped + arrives as a blank.
        at = datetime.fromisoformat(re.sub(r" (\d\d:\d\d)$", r"+\1", text))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    try:
        ago = timedelta(seconds=parse_duration(text))
    except UnitError as error:
        raise UnitError(text, MOMENT if error.allowed == DURATION else error.allowed) from None
    if not text[-1].isalpha():
        raise UnitError(text, MOMENT)
    return now - ago


def _scaled(text: str, units: Mapping[str, float], allowed: str) -> float:
    match = _NUMBER.fullmatch(text.strip())
    value = float(match[1]) * units.get(match[2], math.nan) if match else math.nan
    if not math.isfinite(value):
        raise UnitError(text, allowed)
    return value


def fitting(value: float, units: Sequence[Unit]) -> Unit:
    """The largest unit that the value fills, as it will be rounded: 999.6 µs is 1.00 ms."""
    filled = [unit for unit in units if _rounded(abs(value) / unit.size) >= unit.least]
    return filled[-1] if filled else units[0]


def duration(seconds: float | None) -> str:
    """A time that something takes, from µs to days: `23.4 ms`, `1.50 h`; `–` too for what never ends."""
    return MISSING if seconds is None or math.isinf(seconds) else fitting(seconds, TIMES).text(seconds)


def age(seconds: float | None) -> str:
    """How old something is, in whole seconds, minutes, hours or days: `12 s`, `3 min`."""
    if seconds is None:
        return MISSING
    unit = next((unit for unit in reversed(TIMES[3:]) if seconds >= unit.least * unit.size), TIMES[2])
    return f"{seconds / unit.size:.0f} {unit.name}"


def rate(bits_per_second: float | None) -> str:
    """A rate in the unit that fits: `941 Mbit/s`."""
    return MISSING if bits_per_second is None else fitting(bits_per_second, RATES).text(bits_per_second)


def size(number_of_bytes: float | None) -> str:
    """A number of bytes in powers of a thousand: `352 MB`; below a thousand it is whole: `12 B`."""
    if number_of_bytes is None:
        return MISSING
    unit = fitting(number_of_bytes, SIZES)
    return f"{number_of_bytes:.0f} B" if unit.size == 1 else unit.text(number_of_bytes)


def price(usd: float | None) -> str:
    """A price in USD, without the unit: `12.50`."""
    return MISSING if usd is None else f"{usd:.2f}" if usd < 1000 else f"{usd:.0f}"


def count(number: int, noun: str) -> str:
    """`1 probe`, `2 probes`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def milliseconds(seconds: float | None) -> str:
    """A time in ms, for a column of them: no unit."""
    return MISSING if seconds is None else digits(1e3 * seconds)


def megabits(bits_per_second: float | None) -> str:
    """A rate in Mbit/s, for a column of them: no unit."""
    return MISSING if bits_per_second is None else digits(bits_per_second / 1e6)


def percent(ratio: float | None) -> str:
    """A ratio in %, without the sign; a loss is never rounded to none."""
    if ratio is None:
        return MISSING
    return "<0.1" if 0 < ratio < 0.001 else f"{100 * ratio:.1f}"


def digits(value: float) -> str:
    """Three significant digits, at most three decimals, and every digit before the point: `0.123`, `23.4`, `1234`."""
    if value == 0:
        return "0"
    decimals = 2 - math.floor(math.log10(abs(_rounded(value))))
    return f"{value:.{min(max(decimals, 0), 3)}f}"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def failed_probes(counts: Mapping[str, int]) -> str:
    """Probes that failed authentication, by address: "12 probes from 10.0.0.3 failed authentication"."""
    senders = ", ".join(f"{count(number, 'probe')} from {address}" for address, number in counts.items())
    return f"{senders} failed authentication"
