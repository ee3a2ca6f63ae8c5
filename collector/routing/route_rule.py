"""The route rule: which path becomes a pair's active route, how long it stays, when it goes; for many pairs at once.

**What is compared.** Every path has four costs, lower is better, infinite where the path cannot be used:

- *expected*: the forecast's middle. Active routes and direct are held to it.
- *cautious*: what relays are ranked by; it lies towards the worse end of the forecast.
- *weighed*: what a new relay counts for against direct and against the active route. For latency the cautious cost. For
  goodput a pessimistic one, by a share of the noise of its worst leg.
- *bar*: what direct counts for against a relay beside its expected cost. For goodput an optimistic one, by the same
  share of its own noise.

A link is *sound* while it is fresh and loses little. Only sound links that are not held down make a *candidate* relay.

**Taking a relay.** With no active route, the best candidate is taken when

    weighed(relay) < min(expected(direct) / margin, bar(direct))

and direct otherwise. Without a usable direct link the best candidate is taken whatever its cost; without any
candidate the *spare*: the best relay that can be used at all, stale or not. A direct link in contact whose cost is not
known costs 0: no relay can be shown to be better, so the pair stays direct.

**Keeping it.** An active route is left for a challenger only when the difference is worth a switch:

- another relay comes in when weighed(relay) × hysteresis ≤ expected(active), and it still beats direct as above. From
  direct both comparisons include the hysteresis.
- direct comes in when expected(direct) × hysteresis < expected(active) × margin: direct is cheaper to run, so it
  counts as better by the margin, both for a relay to come in and for a relay to stay.

Between these bounds nothing moves: what looks better for a moment does not flap. Where a weighed cost is by the noise
above the expected one, the noise is most of the hysteresis.

**Leaving it.** A route whose cost became infinite *failed*. It is left at once, with neither margin nor hysteresis. A
relayed route with an unsound leg is *stale*: it is left at once too, unless everything else is as stale. The pair then
chooses as if it had no route.

**Hold-down.** A link that came back from a failure is held down: for `hold_down_s` no route moves onto it, neither
as direct nor as a leg. A link that bounces therefore costs one switch, and a return.

**Noise.** Means, hysteresis and caution guard against noise: what looks better for a moment, and is not. An RTT
that returns towards the mean of those before was noise; one that stays near the last has moved for good, and waiting
costs. The share of those that return says how much noise a link has, few of its own drawn to that of all links of the
mesh; the share of all scales hysteresis and caution down to nothing. A hysteresis of 1 lets a relay as good as
the active route take its place: where values are held between measurements, the longest-standing one is due to change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import DIRECT, Bools, Floats, Vias
from collector.settings import RoutingSettings
from linkweather.models.routes import Objective, SwitchReason

Codes = npt.NDArray[np.int8]

# The codes in which `ActiveRoutes.switch_reason` is kept.
SWITCH_REASONS: tuple[SwitchReason, ...] = ("first", "better", "failed", "stale", "returned")
FIRST, BETTER, FAILED, STALE, RETURNED = range(len(SWITCH_REASONS))
NEVER = -1  # the pair has had no route yet

# Below the first share of RTTs that return to their mean none of it is taken for noise, above the second all.
# Between hosts of the Internet 0.36 to 0.65 return, of independent noise 0.64, of a random walk 0.34; where values are
# held from one measurement to the next, 0.09 do, and up to 0.13 on a link.
HELD: Final = 0.15
NOISY: Final = 0.3
# As many noisy RTTs are assumed of a mesh, and as many like its own of a link: few are weak evidence.
_ASSUMED: Final = 10
# Two measurements have nowhere to return to.
_BEFORE: Final = 2


@dataclass(frozen=True, kw_only=True)
class RouteRule:
    """By how many times a relay must beat direct, and any challenger the active route."""

    margin: float
    hysteresis: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Choices:
    """The paths to choose from, one element per pair; a cost is infinite where there is no such path.

    `direct_sound` is where direct is not stale, `held` where direct is held down. `relay` is the best candidate,
    `relay_weighed` its cost, `bar` direct's; `spare` is the best relay that can be used at all.
    """

    direct: Floats
    direct_sound: Bools
    held: Bools
    relay: Vias
    relay_weighed: Floats
    bar: Floats
    spare: Vias


@dataclass(frozen=True, eq=False, kw_only=True)
class Incumbents:
    """The active routes, one element per pair: the path, its expected cost now, and whether all its legs are sound."""

    via: Vias
    cost: Floats
    sound: Bools


def rule_of(settings: RoutingSettings, objective: Objective) -> RouteRule:
    """The margin and the hysteresis of an objective. Completion has no active routes, and so no hysteresis."""
    hysteresis = {"latency": settings.latency_hysteresis, "goodput": settings.goodput_hysteresis}
    margin = {
        "latency": settings.latency_margin,
        "goodput": settings.goodput_margin,
        "completion": settings.completion_margin,
    }
    return RouteRule(margin=margin[objective], hysteresis=hysteresis.get(objective, 1.0))


def noise(snapshot: Snapshot) -> tuple[float, Floats]:
    """The share, 0 to 1, of noise in the RTTs: of the mesh, and of each link [src, dst]."""
    rows = np.where(np.isfinite(snapshot.rtt_reverts), np.maximum(snapshot.rtt_samples - _BEFORE, 0), 0)
    returned = rows * np.nan_to_num(snapshot.rtt_reverts)
    of_mesh = (returned.sum() + _ASSUMED * NOISY) / (rows.sum() + _ASSUMED)
    return float(_noise(of_mesh)), _noise((returned + _ASSUMED * of_mesh) / (rows + _ASSUMED))


def _noise(reverts: Floats) -> Floats:
    share: Floats = np.clip((reverts - HELD) / (NOISY - HELD), 0.0, 1.0)
    return share


def choose(choices: Choices, rule: RouteRule) -> Vias:
    """The path of each pair that has no active route."""
    by_relay = choices.relay_weighed < _to_beat(choices, rule)
    last = np.where(np.isfinite(choices.direct), np.int32(DIRECT), choices.spare)
    return np.where(by_relay, choices.relay, last).astype(np.int32)


def decide(choices: Choices, active: Incumbents, rule: RouteRule) -> tuple[Vias, Bools]:
    """The path of each pair now, and where the active route was kept or beaten rather than failed or stale."""
    direct = _open(choices.direct, choices)
    usable = np.isfinite(active.cost)
    # A direct link that is as stale is no reason to leave: it would be left again when both are heard from.
    replaceable = (np.isfinite(direct) & choices.direct_sound) | np.isfinite(choices.relay_weighed)
    holds = usable & (active.sound | ~replaceable)
    from_direct = np.where(active.via < 0, rule.hysteresis, 1.0)
    by_relay = (choices.relay_weighed * rule.hysteresis <= active.cost) & (
        choices.relay_weighed * from_direct < _to_beat(choices, rule)
    )
    by_direct = (active.via >= 0) & (direct * rule.hysteresis < active.cost * rule.margin)
    challenged = np.where(by_relay, choices.relay, np.where(by_direct, np.int32(DIRECT), active.via))
    return np.where(holds, challenged, choose(choices, rule)).astype(np.int32), holds


def _to_beat(choices: Choices, rule: RouteRule) -> Floats:
    """Below which weighed cost a relay is better than direct."""
    return _open(np.minimum(choices.direct / rule.margin, choices.bar), choices)


def _open(direct: Floats, choices: Choices) -> Floats:
    return np.where(choices.held, np.inf, direct)
