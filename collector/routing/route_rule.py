"""The rule by which a path comes into force, stays, and goes: for any number of pairs at once.

A relay is taken only where its weighed cost beats direct by the margin, and direct's bar. What stands is kept unless a
challenger's cautious cost beats its expected cost by the hysteresis, with direct counted as better by the margin. A
standing path that fails is left at once, whatever margin and hysteresis say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from collector.routing.candidates import DIRECT, Floats, Vias
from linkweather.models.routes import SwitchReason

Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]

# The codes in which `switched` is kept; `Standing.switched` is −1 for a pair that never had a path.
SWITCH_REASONS: tuple[SwitchReason, ...] = ("first", "better", "failed", "stale", "returned")
FIRST, BETTER, FAILED, STALE, RETURNED = range(len(SWITCH_REASONS))
NEVER = -1


@dataclass(frozen=True, kw_only=True)
class RouteRule:
    """By how many times a relay must beat direct, and any challenger what stands.

    A hysteresis of 1 guards nothing: then a relay as good as what stands takes its place. What has stood for long
    where values are held from one measurement to the next is due to change.
    """

    margin: float
    hysteresis: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Choices:
    """What there is to choose from, one element per pair; a cost is infinite where there is no such path.

    `direct_sound` is a direct link that is not stale, `held` one that came back too short a time ago. `relay` is the
    best relay of which nothing is stale or held, `relay_cautious` its cost; weighed against direct it counts for
    `relay_weighed`, which must beat `direct` by the margin, and `bar`. `spare` is the best relay of any that can be
    used at all, for when nothing else can.
    """

    direct: Floats
    direct_cautious: Floats
    direct_sound: Bools
    held: Bools
    relay: Vias
    relay_cautious: Floats
    relay_weighed: Floats
    bar: Floats
    spare: Vias


@dataclass(frozen=True, eq=False, kw_only=True)
class Incumbents:
    """What stands, one element per pair: its path, its expected cost now, and whether no leg of it is stale."""

    via: Vias
    cost: Floats
    sound: Bools


def choose(choices: Choices, rule: RouteRule) -> Vias:
    """The path of each pair when none stands yet."""
    by_relay = choices.relay_weighed < _to_beat(choices, rule)
    last = np.where(np.isfinite(choices.direct), np.int32(DIRECT), choices.spare)
    return np.where(by_relay, choices.relay, last).astype(np.int32)


def decide(choices: Choices, kept: Incumbents, rule: RouteRule) -> tuple[Vias, Bools]:
    """The path of each pair now, and where what stood is kept or beaten rather than dropped."""
    direct = _open(choices.direct, choices)
    usable = np.isfinite(kept.cost)
    # A direct link that is as stale is no reason to leave: it would be left again when both are heard from.
    replaceable = (np.isfinite(direct) & choices.direct_sound) | np.isfinite(choices.relay_cautious)
    holds = usable & (kept.sound | ~replaceable)
    # Direct counts as if it were better by the margin, both for a relay to come in and for one to stay.
    from_direct = np.where(kept.via < 0, rule.hysteresis, 1.0)
    challenger = np.where(kept.via < 0, choices.relay_weighed, choices.relay_cautious)
    by_relay = (challenger * rule.hysteresis <= kept.cost) & (
        choices.relay_weighed * from_direct < _to_beat(choices, rule)
    )
    direct_cautious = _open(choices.direct_cautious, choices)
    by_direct = (kept.via >= 0) & (direct_cautious * rule.hysteresis < kept.cost * rule.margin)
    challenged = np.where(by_relay, choices.relay, np.where(by_direct, np.int32(DIRECT), kept.via))
    return np.where(holds, challenged, choose(choices, rule)).astype(np.int32), holds


def _to_beat(choices: Choices, rule: RouteRule) -> Floats:
    """Below which weighed cost a relay is better than direct."""
    return _open(np.minimum(choices.direct / rule.margin, choices.bar), choices)


def _open(direct: Floats, choices: Choices) -> Floats:
    return np.where(choices.held, np.inf, direct)
