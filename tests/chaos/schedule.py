"""What is broken, when and for how long: a schedule made from a seed. Pure logic."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Targets = Mapping[str, Sequence[str]]  # group → what can be broken of it


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One way to break something of `group`: it lasts between the two of `hold_s`; `weight` says how often."""

    group: str
    hold_s: tuple[float, float]
    weight: int = 2


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault: it begins `at_s` after the schedule does and is mended `hold_s` later."""

    number: int
    at_s: float
    kind: str
    target: str
    hold_s: float


FAULT_KINDS: Mapping[str, FaultKind] = {
    "kill": FaultKind("process", (0.0, 0.8), weight=4),
    "stop": FaultKind("process", (0.0, 0.8)),
    "pause": FaultKind("process", (0.2, 3.0), weight=4),
    # Killed, started, and killed again while it starts.
    "kill twice": FaultKind("process", (0.05, 1.5), weight=3),
    "cut": FaultKind("way", (0.0, 2.0)),
    "delay": FaultKind("way", (1.0, 4.0)),
    "stall": FaultKind("way", (1.0, 5.0)),
    "half-open": FaultKind("way", (1.0, 5.0)),
    "amnesia": FaultKind("broker", (0.0, 1.0)),
    "disk full": FaultKind("disk", (0.5, 3.0)),
    "read-only": FaultKind("disk", (1.0, 3.0), weight=1),
    # Long enough for a small outbox to overflow.
    "outage": FaultKind("collector", (8.0, 12.0), weight=1),
    # What it says vanishes, and then it is killed: what it has committed is sent to its successor again.
    "unheard": FaultKind("collector", (0.5, 2.0)),
    # Long enough for a write to fail.
    "no archive": FaultKind("influx", (4.0, 6.0), weight=1),
}


def plan(seed: int, count: int, targets: Targets, gap_s: tuple[float, float]) -> list[PlannedFault]:
    """`count` faults in order of time, between which `gap_s` (shortest, longest) passes; the next may begin before
    the last is mended. Kinds of which `targets` has nothing are left out; of the others each comes once at first.
    """
    rng = random.Random(seed)
    kinds = [kind for kind, found in FAULT_KINDS.items() if targets.get(found.group)]
    chosen = rng.sample(kinds, min(count, len(kinds)))
    chosen += rng.choices(kinds, [FAULT_KINDS[kind].weight for kind in kinds], k=count - len(chosen))
    planned: list[PlannedFault] = []
    at_s = 0.0
    for number, kind in enumerate(chosen, start=1):
        at_s += rng.uniform(*gap_s)
        target = rng.choice(targets[FAULT_KINDS[kind].group])
        planned.append(PlannedFault(number, at_s, kind, target, rng.uniform(*FAULT_KINDS[kind].hold_s)))
    return planned
