"""Which link is traced next, and when: one at a time, spread over the period. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# A new link is not to wait for its place in the period, nor are all new ones to be traced at once.
FIRST_GAP_S = 30.0


@dataclass(frozen=True, slots=True)
class Turn:
    """Trace the path to `peer` at `at` (seconds of the clock that `traced` has)."""

    at: float
    peer: str


def next_turn(
    peers: Iterable[str], traced: Mapping[str, float], every_s: float, *, began: float, share: float
) -> Turn | None:
    """The next turn; `traced` is when each peer was traced last.

    The first is within a gap after `began`, at this `share` of it, so that sites that begin together do not
    trace together.
    """
    ordered = sorted(peers, key=lambda peer: (traced.get(peer, -float("inf")), peer))
    if not ordered:
        return None
    peer, slot_s = ordered[0], every_s / len(ordered)
    gap_s = slot_s if peer in traced else min(slot_s, FIRST_GAP_S)
    last = max(traced.values(), default=None)
    return Turn(began + share * gap_s if last is None else last + gap_s, peer)
