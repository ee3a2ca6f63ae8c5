"""Delays, rates and ratios as people type them: `50ms`, `100M`, `1%`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from linkweather.errors import OperatorError

_NUMBER = re.compile(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*(.*)")
_SECONDS: Mapping[str, float] = {"": 1, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60, "m": 60, "h": 3600}
_BPS: Mapping[str, float] = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9}
_RATIO: Mapping[str, float] = {"": 1, "%": 1e-2}


def seconds(text: str) -> float:
    """A duration in seconds: a number with us, ms, s, min or h; none means seconds."""
    return _scaled(text, _SECONDS, "must be a duration such as 50ms, 60s or 5min")


def bits_per_second(text: str) -> float:
    """A rate in bit/s: a number with k, M or G (powers of 1000); none means bit/s."""
    return _scaled(text, _BPS, "must be a rate in bit/s such as 100M or 1e8")


def ratio(text: str) -> float:
    """A ratio: a number from 0 to 1, or a percentage."""
    return _scaled(text, _RATIO, "must be a ratio such as 0.1 or 10%")


def _scaled(text: str, units: Mapping[str, float], allowed: str) -> float:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[2] not in units:
        raise OperatorError(f"{text!r}: {allowed}")
    value = float(match[1]) * units[match[2]]
    if not math.isfinite(value):
        raise OperatorError(f"{text!r}: {allowed}")
    return value
