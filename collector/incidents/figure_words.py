"""What is said of a figure that is wrong, after the name of its link or site: one place for states and incidents. Pure.

A room of its own: the states of links and the sentences of incidents say the same, and neither needs the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from collector.incidents.conditions import Evidence
from linkweather.models.incidents import IncidentKind
from linkweather.units import age, duration, percent, rate


def clause(kind: IncidentKind, figure: Evidence) -> str:
    """What is wrong and how much against what is normal, in the present tense."""
    return _CLAUSES[kind](figure)


def _percent(ratio: float | None) -> str:
    return f"{percent(ratio)} %"


def _usual(figure: Evidence, shown: Callable[[float | None], str]) -> str:
    parts = [f"normally {shown(figure.normal)}"] if figure.normal is not None else []
    parts += [f"limit {shown(figure.limit)}"] if figure.limit is not None else []
    return f" ({', '.join(parts)})" if parts else ""


def _clock(figure: Evidence) -> str:
    offset_s = figure.value or 0.0
    return f"has a clock that is {age(abs(offset_s))} {'ahead' if offset_s > 0 else 'behind'}"


def _silent(figure: Evidence) -> str:
    return f"is offline: {figure.detail}" if figure.detail else f"is silent: its last report is {age(figure.value)} old"


_CLAUSES: Mapping[IncidentKind, Callable[[Evidence], str]] = {
    "site_unreachable": lambda _figure: "cannot be reached from any other site",
    "site_silent": _silent,
    "link_down": lambda _figure: "is down",
    "loss": lambda figure: f"loses {_percent(figure.value)}{_usual(figure, _percent)}",
    "latency": lambda figure: f"takes {duration(figure.value)}{_usual(figure, duration)}",
    "jitter": lambda figure: f"has a jitter of {duration(figure.value)}{_usual(figure, duration)}",
    "goodput": lambda figure: f"carries {rate(figure.value)}{_usual(figure, rate)}",
    "implausible": lambda figure: (
        f"is suspect: {figure.detail}; it relays nothing, and no job is placed at it, until this is acknowledged"
    ),
    "clock": _clock,
    "authentication": lambda figure: f"has another key than who probes it: {figure.detail}",
    "sink": lambda figure: f"writes nothing, or not all: {figure.detail}",
    "collector": lambda figure: f"fails: {figure.detail}" if figure.value is None else str(figure.detail),
}
