"""What the probes of a trace show together: hops, the route, its fingerprint, and whether the route has changed. Pure.

A link's flows are the same in every trace, so each takes the same branch of parallel paths, until a router distributes
its load anew. Therefore a router makes another route only where no flow met it at that TTL before. Where one flow alone
meets several routers at one TTL, load is shared packet by packet there, and one known router among them is enough. A
silent router may be any router, and a destination that has reached its rate limit is silent too: silence never makes
another route.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from linkweather.wire import Hop
from probes.path.tracer_lines import HopSample

SILENT = "*"
# How many routes of a link are remembered: one that returns has its old fingerprint.
REMEMBERED = 8


class FlowRoute(NamedTuple):
    """One flow's routers by TTL, from 1; an empty set was silent. `ended`: the last one is where the path ends."""

    hops: tuple[frozenset[str], ...]
    ended: bool


Route = tuple[FlowRoute, ...]


class HopResponder(NamedTuple):
    """A router, and the flows that met it."""

    address: str
    rtt_s: float
    flows: tuple[int, ...]
    labels: tuple[int, ...]


class Step(NamedTuple):
    """What is known of one TTL. The first responder is that of the lowest flow."""

    ttl: int
    sent: int
    lost: int
    responders: tuple[HopResponder, ...]


@dataclass(frozen=True, slots=True)
class KnownRoute:
    """A route that was seen, its fingerprint, and its hops when it was seen last."""

    route: Route
    fingerprint: str
    hops: tuple[Hop, ...]


def steps(samples: Sequence[HopSample]) -> tuple[Step, ...]:
    """The TTLs of a trace, up to the last that was answered."""
    kept = _within(samples)
    last = max((sample.ttl for sample in kept if sample.address is not None), default=0)
    return tuple(_step(ttl, [sample for sample in kept if sample.ttl == ttl]) for ttl in range(1, last + 1))


def hops(found: Iterable[Step]) -> tuple[Hop, ...]:
    """The steps as a report has them."""
    return tuple(_hop(step) for step in found)


def reached(samples: Iterable[HopSample]) -> bool:
    """Whether the destination answered."""
    return any(sample.outcome == "reached" for sample in samples)


def cut_off(samples: Sequence[HopSample], max_hops: int) -> bool:
    """Whether the path goes on beyond the last hop that was asked for: a router there forwards."""
    return not reached(samples) and any(each.ttl == max_hops and each.outcome == "exceeded" for each in samples)


def not_within(max_hops: int) -> str:
    """The sentence for a trace that was cut off."""
    return f"not reached within {max_hops} hops"


def route(samples: Sequence[HopSample]) -> Route:
    """The route of each flow."""
    kept = _within(samples)
    flows = range(1 + max((sample.flow for sample in kept), default=-1))
    return tuple(_flow_route([sample for sample in kept if sample.flow == flow]) for flow in flows)


def same(known: Route, seen: Route) -> bool:
    """Whether what a trace saw may be a known route."""
    pairs = list(zip(known, seen, strict=False))
    if not all(_known_length(one, other, known) for one, other in pairs):
        return False
    levels = zip_longest(*(flow.hops for flow in (*known, *seen)), fillvalue=frozenset[str]())
    return all(_known_level(level[: len(known)], level[len(known) :]) for level in levels)


def merged(before: Route, after: Route) -> Route:
    """What two traces of the same route know together."""
    unknown = FlowRoute((), ended=False)
    return tuple(_merged(one, other) for one, other in zip_longest(before, after, fillvalue=unknown))


def fingerprint(seen: Route) -> str:
    """A short name of a route, made of the addresses at each TTL, whichever flow met them."""
    levels = zip_longest(*(flow.hops for flow in seen), fillvalue=frozenset[str]())
    text = " ".join(",".join(sorted(frozenset().union(*level))) or SILENT for level in levels)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recognise(known: Sequence[KnownRoute], seen: Route, as_hops: tuple[Hop, ...]) -> tuple[KnownRoute, ...]:
    """What is known of a link after one more trace, the route in use first."""
    for one in known:
        if same(one.route, seen):
            again = KnownRoute(merged(one.route, seen), one.fingerprint, as_hops)
            return again, *(other for other in known if other is not one)
    return (KnownRoute(seen, fingerprint(seen), as_hops), *known)[:REMEMBERED]


def _within(samples: Sequence[HopSample]) -> list[HopSample]:
    """The probes without those beyond the end of their flow, which were sent before it was known."""
    ends: dict[int, int] = {}
    for sample in samples:
        if sample.outcome in {"reached", "refused"}:
            ends[sample.flow] = min(sample.ttl, ends.get(sample.flow, sample.ttl))
    return [sample for sample in samples if sample.ttl <= ends.get(sample.flow, sample.ttl)]


def _step(ttl: int, samples: Sequence[HopSample]) -> Step:
    lost = sum(sample.address is None for sample in samples)
    ordered = sorted(samples, key=lambda sample: sample.flow)
    addresses = dict.fromkeys(sample.address for sample in ordered if sample.address is not None)
    return Step(ttl, len(samples), lost, tuple(_responder(address, ordered) for address in addresses))


def _responder(address: str, samples: Iterable[HopSample]) -> HopResponder:
    its = [sample for sample in samples if sample.address == address]
    rtt_s = min(sample.rtt_s or 0.0 for sample in its)
    labels = next((sample.labels for sample in its if sample.labels), ())
    return HopResponder(address, rtt_s, tuple(dict.fromkeys(sample.flow for sample in its)), labels)


def _hop(step: Step) -> Hop:
    loss_ratio = step.lost / step.sent if step.sent else None
    if not step.responders:
        return Hop(ttl=step.ttl, loss_ratio=loss_ratio)
    first, *others = step.responders
    return Hop(
        ttl=step.ttl,
        address=first.address,
        rtt_s=first.rtt_s,
        loss_ratio=loss_ratio,
        also=tuple(other.address for other in others) or None,
        labels=first.labels or None,
    )


def _flow_route(samples: Sequence[HopSample]) -> FlowRoute:
    answered = [sample for sample in samples if sample.address is not None]
    last = max((sample.ttl for sample in answered), default=0)
    met = tuple(
        frozenset(sample.address for sample in answered if sample.ttl == ttl and sample.address)
        for ttl in range(1, last + 1)
    )
    return FlowRoute(met, any(sample.outcome != "exceeded" for sample in answered))


def _merged(one: FlowRoute, other: FlowRoute) -> FlowRoute:
    end = min((len(flow.hops) for flow in (one, other) if flow.ended), default=None)
    met = [a | b for a, b in zip_longest(one.hops, other.hops, fillvalue=frozenset[str]())]
    return FlowRoute(tuple(met[:end]), end is not None)


def _known_length(before: FlowRoute, after: FlowRoute, known: Route) -> bool:
    # Parallel paths may have different lengths, and a flow may be on another one than before.
    return _same_length(before, after) or any(_same_length(other, after) for other in known if other.ended)


def _same_length(one: FlowRoute, other: FlowRoute) -> bool:
    if one.ended and other.ended:
        shorter, longer = sorted((one.hops, other.hops), key=len)
        # The destination's answers to the TTLs from there on may have been lost.
        return not any(longer[len(shorter) - 1 : -1]) and bool(shorter[-1] & longer[-1])
    longest = min((len(flow.hops) for flow in (one, other) if flow.ended), default=None)
    return longest is None or max(len(one.hops), len(other.hops)) <= longest


def _known_level(befores: Sequence[frozenset[str]], afters: Sequence[frozenset[str]]) -> bool:
    known, met = frozenset[str]().union(*befores), frozenset[str]().union(*afters)
    if any(len(each) > 1 for each in afters):
        return not known or bool(known & met)
    # A flow that met no router there before may find a further branch.
    return all(not before or not after or bool(known & after) for before, after in zip(befores, afters, strict=False))
