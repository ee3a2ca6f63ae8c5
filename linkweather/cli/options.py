"""The options that several commands share, and their types: quantities that `linkweather.units` parses, ports, files.

What asks a collector is in `asking`, which takes longer to import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

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


Decorated = TypeVar("Decorated", bound=Callable[..., Any])

LOG_LEVELS = ("debug", "info", "warning", "error")

json_option = click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
log_level_option = click.option(
    "--log-level", type=click.Choice(LOG_LEVELS), default="info", show_default=True, help="What the log shows."
)
# Option → the key in the table `broker` of settings, and its line in the help.
_OF_BROKER: Mapping[str, tuple[str, str]] = {
    "broker_password_file": ("password_file", "The file with our password at the broker."),
    "broker_ca": ("ca_file", "The authorities whose broker is trusted; the system's without it."),
    "broker_cert": ("cert_file", "Our certificate at the broker."),
    "broker_key": ("key_file", "Its key."),
}
site_option = click.option("--site", help="This site's id in the mesh.")
SITE_NEEDED = "say which site of the mesh this is: give --site or --config"


def broker_options(forms: str = "") -> Callable[[Decorated], Decorated]:
    """Where the broker is, and who we are there; `with_broker` takes them."""

    def decorate(command: Decorated) -> Decorated:
        for name, (_, line) in reversed(list(_OF_BROKER.items())):
            command = click.option(f"--{name.replace('_', '-')}", help=line)(command)
        return click.option("--broker", help=f"{forms}mqtt://[user@]host[:port], mqtts://… or unix:///path.")(command)

    return decorate


def with_broker(values: Mapping[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The values of settings with what `options` say of the broker, which are taken out of them, laid over."""
    url = options.pop("broker", None)
    given = {key: value for name, (key, _) in _OF_BROKER.items() if (value := options.pop(name, None)) is not None}
    before = values.get("broker", {})
    table = {"url": before} if isinstance(before, str) else {key: one for key, one in before.items() if one is not None}
    table |= {"url": url} if url is not None else {}
    table |= given
    return {**values, "broker": table["url"] if set(table) == {"url"} else table} if table else dict(values)


def config_option(file: str) -> Callable[[Decorated], Decorated]:
    """The settings file of a daemon."""
    return click.option("--config", type=FILE, help=f"The site's {file}; options override it.")
