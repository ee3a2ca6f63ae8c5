"""What the grid shows of links. Pure.

Their states: each by colour and by form, so that no hue alone says it. Their metrics: how each is read off a link,
written, and ranked from good (0) to bad (1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from linkweather.models.state import LinkAnswer, SiteAnswer
from linkweather.units import age, duration, megabits, milliseconds, percent, rate
from page.mesh_picture import MeshPicture
from page.words import message


class LinkForm(NamedTuple):
    """A state's name for people, its form in words for the legend, and how bad it is: the worst is the highest."""

    name: str
    form: str
    badness: int


UNKNOWN = "unknown"
# The forms are drawn by page.css, each under the class of its state's name.
LINK_FORMS: Mapping[str, LinkForm] = {
    "fresh": LinkForm(message("fresh"), message("plain"), 0),
    "stale": LinkForm(message("stale"), message("faded"), 1),
    UNKNOWN: LinkForm(message("unknown"), message("a dot"), 2),
    "expired": LinkForm(message("expired"), message("a dashed edge"), 3),
    "degraded": LinkForm(message("degraded"), message("hatched"), 4),
    "down": LinkForm(message("down"), message("filled, with a cross"), 5),
}


def known(state: str) -> str:
    """The state, or `unknown` for one of a newer collector."""
    return state if state in LINK_FORMS else UNKNOWN


def worst(states: Iterable[str]) -> str:
    """The worst state that a tenth of some are in, or in a worse one: of up to ten the worst; `unknown` of none."""
    found = sorted(map(known, states), key=lambda state: -LINK_FORMS[state].badness)
    return found[(len(found) - 1) // 10] if found else UNKNOWN


def is_not_well(state: str) -> bool:
    """Whether something is known to be wrong with a link in this state."""
    return known(state) not in {"fresh", UNKNOWN}


LOSS_STEPS = (0.0, 0.01, 0.05, 0.10, 0.25, 0.50, 1.0)
# Light in fibre: 4.9 µs for each kilometre and way.
_FIBRE_S_PER_KM = 4.9e-6
_EARTH_KM = 6371.0
_NEAR_KM = 1.0
_MOST_STRETCH = 4.0

Read = Callable[[LinkAnswer, MeshPicture], float | None]
# Lowest and highest value of what is shown together.
Span = tuple[float, float]


def _logarithmic(value: float, span: Span) -> float:
    low, high = span
    if value <= 0 or low <= 0 or high <= low:
        return 0.0
    return math.log(value / low) / math.log(high / low)


def _falling(value: float, span: Span) -> float:
    return 1.0 - _logarithmic(value, span) if span[1] > span[0] else 0.0


def loss_step(ratio: float) -> int:
    """Which step of LOSS_STEPS the loss is at most in: 0 is none at all."""
    return next(number for number, most in enumerate(LOSS_STEPS) if ratio <= most or most == LOSS_STEPS[-1])


def _lossy(value: float, span: Span) -> float:
    del span
    return loss_step(value) / (len(LOSS_STEPS) - 1)


def _stretched(value: float, span: Span) -> float:
    del span
    return min(max(value - 1.0, 0.0) / (_MOST_STRETCH - 1.0), 1.0)


def distance_km(near: SiteAnswer, far: SiteAnswer) -> float | None:
    """The great-circle distance of two sites whose coordinates are known."""
    if near.latitude is None or near.longitude is None or far.latitude is None or far.longitude is None:
        return None
    one, other = math.radians(near.latitude), math.radians(far.latitude)
    across = math.cos(one) * math.cos(other) * math.cos(math.radians(near.longitude - far.longitude))
    return _EARTH_KM * math.acos(min(1.0, max(-1.0, math.sin(one) * math.sin(other) + across)))


def stretch(link: LinkAnswer, sites: Mapping[str, SiteAnswer]) -> float | None:
    """By how much the RTT exceeds that of light in fibre along the great circle; None where a place is unknown."""
    ends = sites.get(link.src), sites.get(link.dst)
    if link.rtt_p50_s is None or ends[0] is None or ends[1] is None:
        return None
    km = distance_km(ends[0], ends[1])
    return None if km is None or km < _NEAR_KM else link.rtt_p50_s / (2 * km * _FIBRE_S_PER_KM)


@dataclass(frozen=True, slots=True)
class LinkMetric:
    """`label` and `what` are messages; `cell` writes a value without its unit, which `unit` is, `text` with it."""

    label: str
    what: str
    unit: str
    read: Read
    cell: Callable[[float | None], str]
    text: Callable[[float | None], str]
    badness: Callable[[float, Span], float]


def _factor(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _seconds(value: float | None) -> str:
    return age(value).replace(" ", "")


STATE = "state"
CHANGE = "change"


def change(link: LinkAnswer, view: MeshPicture) -> float | None:
    """By which share of it the RTT exceeds what was usual a week ago; None where either is unknown."""
    usual_s = view.usual_rtts_s.get((link.src, link.dst))
    return None if link.rtt_p50_s is None or not usual_s else link.rtt_p50_s / usual_s - 1.0


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.0f}"


def _grown(value: float, span: Span) -> float:
    del span
    return min(max(value, 0.0), 1.0)


def _plain(value: float, span: Span) -> float:
    del value, span
    return 0.0


def _rtt(link: LinkAnswer, view: MeshPicture) -> float | None:
    del view
    return link.rtt_p50_s


# fmt: off
# The state's cells hold the RTT, as the table of `linkweather links` does first.
LINK_METRICS: Mapping[str, LinkMetric] = {
    STATE: LinkMetric(
        message("state"), message("how the link is; the number is the RTT"), "ms",
        _rtt, milliseconds, duration, _plain,
    ),
    "rtt": LinkMetric(
        message("RTT"), message("median round-trip time"), "ms",
        _rtt, milliseconds, duration, _logarithmic,
    ),
    "loss": LinkMetric(
        message("loss"), message("share of the last probes that were lost"), "%",
        lambda link, _: link.loss_ratio, percent, lambda value: f"{percent(value)} %", _lossy,
    ),
    "jitter": LinkMetric(
        message("jitter"), message("the RTT's p95 minus its median"), "ms",
        lambda link, _: link.jitter_s, milliseconds, duration, _logarithmic,
    ),
    "goodput": LinkMetric(
        message("goodput"), message("what the last throughput test carried"), "Mbit/s",
        lambda link, _: link.goodput_bps, megabits, rate, _falling,
    ),
    "stretch": LinkMetric(
        message("stretch"), message("the RTT over that of light in fibre along the great circle"), "×",
        lambda link, view: stretch(link, view.sites), _factor, lambda value: f"{_factor(value)} ×", _stretched,
    ),
    CHANGE: LinkMetric(
        message("change"), message("the RTT against the median of the week that ended a day ago"), "%",
        change, _signed, lambda value: f"{_signed(value)} %", _grown,
    ),
    "age": LinkMetric(
        message("age"), message("age of the newest measurement"), "",
        lambda link, _: link.age_s, _seconds, age, _logarithmic,
    ),
}
# fmt: on


def span_of(values: Iterable[float | None]) -> Span:
    """The lowest and the highest of the values that are known and positive; (0, 0) of none."""
    there = [value for value in values if value is not None and value > 0]
    return (min(there), max(there)) if there else (0.0, 0.0)
