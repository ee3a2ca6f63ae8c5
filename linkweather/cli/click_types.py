"""The types of options: quantities that `linkweather.units` parses, ports, files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from linkweather import units
from linkweather.errors import OperatorError, UnitError


class Quantity(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2, which we do not require
    """A number that people type with its unit, within bounds; `show` writes the bounds as they would."""

    def __init__(
        self,
        name: str,
        parse: Callable[[str], float],
        *,
        least: float = 0.0,
        most: float = float("inf"),
        show: Callable[[float], str] = "{:g}".format,
    ) -> None:
        self.name = name
        self._parse = parse
        self._bounds = (least, most)
        self._show = show

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The value in base units; a default may be one already. Raises OperatorError, which is one sentence."""
        del ctx
        if not isinstance(value, str):
            return float(value)
        try:
            number = self._parse(value)
        except UnitError as error:
            raise _refused(param, str(error)) from None
        least, most = self._bounds
        if not least <= number <= most:
            raise _refused(param, f"{value!r}: must be from {self._show(least)} to {self._show(most)}")
        return number


def _refused(param: click.Parameter | None, sentence: str) -> OperatorError:
    return OperatorError(f"{max(param.opts, key=len)} {sentence}" if param else sentence)


def duration_between(least_s: float, most_s: float) -> Quantity:
    """A duration with bounds, in seconds."""
    return Quantity("duration", units.parse_duration, least=least_s, most=most_s, show=units.duration)


def rate_between(least_bps: float, most_bps: float) -> Quantity:
    """A rate with bounds, in bit/s."""
    return Quantity("rate", units.parse_rate, least=least_bps, most=most_bps, show=units.rate)


DURATION = Quantity("duration", units.parse_duration)
PERIOD = Quantity("duration", units.parse_period)
RATE = Quantity("rate", units.parse_rate)
SIZE = Quantity("size", units.parse_size)
RATIO = Quantity("ratio", units.parse_ratio)
PRICE = Quantity("price", units.parse_price)
PORT = click.IntRange(1, 65535)
FILE = click.Path(path_type=Path)
