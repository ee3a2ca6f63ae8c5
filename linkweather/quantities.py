"""Delays, rates, ratios and sizes as people type them: `50ms`, `100M`, `1%`, `2TB`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from linkweather.errors import OperatorError

# What is allowed, after "must be".
DURATION = "a duration such as 50ms, 60s or 5min"
SIZE = "a size in bytes such as 2TB, 500GB or 10MiB"
PRICE = "a price such as 500 or 500USD"

_NUMBER = re.compile(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*(.*)")
_SECONDS: Mapping[str, float] = {
    "": 1,
    "s": 1,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "min": 60,
    "m": 60,
    "h": 3600,
    "d": 86400,
}
_BPS: Mapping[str, float] = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9}
_USD: Mapping[str, float] = {"": 1, "USD": 1, "$": 1}
_RATIO: Mapping[str, float] = {"": 1, "%": 1e-2}
_PREFIXES = "kMGTPE"
_BYTES: Mapping[str, float] = {
    "": 1,
    "B": 1,
    **{f"{prefix}B": 1000.0**power for power, prefix in enumerate(_PREFIXES, 1)},
    **{f"{prefix.upper()}iB": 1024.0**power for power, prefix in enumerate(_PREFIXES, 1)},
}


def seconds(text: str) -> float:
    """A duration in seconds: a number with us, ms, s, min, h or d; none means seconds."""
    return _scaled(text, _SECONDS, DURATION)


def bits_per_second(text: str) -> float:
    """A rate in bit/s: a number with k, M or G (powers of 1000); none means bit/s."""
    return _scaled(text, _BPS, "a rate in bit/s such as 100M or 1e8")


def ratio(text: str) -> float:
    """A ratio: a number from 0 to 1, or a percentage."""
    return _scaled(text, _RATIO, "a ratio such as 0.1 or 10%")


def size_bytes(text: str) -> int:
    """A size in whole bytes: a number with kB to EB (powers of 1000) or KiB to EiB (of 1024); none means bytes."""
    return round(_scaled(text, _BYTES, SIZE))


def usd(text: str) -> float:
    """A price in USD, with or without the unit."""
    return _scaled(text, _USD, PRICE)


def _scaled(text: str, units: Mapping[str, float], allowed: str) -> float:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[2] not in units:
        raise OperatorError(f"{text!r}: must be {allowed}")
    value = float(match[1]) * units[match[2]]
    if not math.isfinite(value):
        raise OperatorError(f"{text!r}: must be {allowed}")
    return value
