"""Which way probes were lost, read from a stateful reflector's count of its replies (RFC 8762 §4.3).

Between two answered probes, n are missing. The reflector's count says how many replies it sent meanwhile: that many of
the missing were lost on the way back, the others on the way there. An example, with our sequence above the reflector's:

    sent      1   2   3   4   5   6
    counted   0   –   –   2   –   3

Between 1 and 4 two are missing, and the reflector's count went from 0 to 2: it answered one of them, so one reply was
lost (back) and one request never arrived (forward). Between 4 and 6 one is missing and the count went on by one: lost
forward. Which of a gap's probes went which way is not known; the numbers are.

What the counts cannot say stays unknown: a stateless reflector copies our sequence, a reflector that starts anew counts
from 0 again, and a path that duplicates requests makes it count more than was sent. Where the path reorders requests,
a later reply has a lower count: then the probes from the overtaken to the overtaking one are one stretch, and its
losses are counted together. At a window's end the next answered probe, if there is one, closes the last gap; else a
row calls the gap unknown, and the next row does not count it again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

_MASK = 0xFFFFFFFF
_HALF = 0x80000000
_OVERTAKEN = 100  # a count that is further behind was not overtaken: the reflector started anew


class CountedProbe(NamedTuple):
    """A probe of our count, and the reflector's counts in its first and last reply; None without a reply."""

    sequence: int
    first: int | None
    last: int | None


class LossEdge(NamedTuple):
    """The last answered probe; `uncounted`: a row has already called missing ones after it unknown."""

    sequence: int
    reflected: int
    uncounted: bool = False


class Losses(NamedTuple):
    """Missing probes by direction."""

    forward: int
    back: int
    unknown: int


@dataclass(slots=True)
class _Stretch:
    """The probes after `left` until no later reply has a lower count than one of theirs.

    `start` and `top` are the reflector's counts at `left` and at most since, unwrapped; `last` was answered last;
    `places` says of each missing probe which one it is of those missing after `left`.
    """

    left: LossEdge | None
    start: int
    top: int
    answered: int = 0
    last: int = 0
    places: list[int] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def miss(self, sequence: int) -> None:
        self.places.append(0 if self.left is None else sequence - self.left.sequence - self.answered)

    def answer(self, sequence: int, counts: tuple[int, int]) -> None:
        self.answered += 1
        self.last = sequence
        self.seen.update(counts)
        self.top = max(self.top, *counts)


def by_direction(
    probes: Iterable[CountedProbe], left: LossEdge | None, right: CountedProbe | None
) -> tuple[Losses, LossEdge | None]:
    """Find the directions of a window's missing probes.

    `probes` are the window's, in the order of sending; `left` is what was left by the window before;
    `right` is the first answered probe of a later window, if there is one. Returns the losses and the next `left`.
    """
    window = list(probes)
    base = left.reflected if left else next((probe.first for probe in window if probe.first is not None), 0)
    after = _counts(right, base) if right else None
    lowest = _lowest_later([_counts(probe, base) for probe in window], after)
    losses = [0, 0, 0]
    stretch = _Stretch(left, base, base)
    for probe, low in zip(window, lowest, strict=True):
        counts = _counts(probe, base)
        if counts is None:
            stretch.miss(probe.sequence)
        elif stretch.left is None or counts[0] < stretch.start - _OVERTAKEN:
            losses[2] += len(stretch.places)
            stretch = _after(probe, counts[1])
        else:
            stretch.answer(probe.sequence, counts)
            if stretch.top < low:
                _count(stretch, stretch.top, probe.sequence + 1, losses)
                stretch = _after(probe, stretch.top)
    end = right.sequence if right else 0
    known = _count(stretch, None if after is None else after[0] - 1, end, losses)
    edge = LossEdge(stretch.last, stretch.top & _MASK) if stretch.answered else stretch.left
    return Losses(*losses), edge._replace(uncounted=True) if edge and not known else edge


def _after(probe: CountedProbe, count: int) -> _Stretch:
    return _Stretch(LossEdge(probe.sequence, count & _MASK), count, count)


def _counts(probe: CountedProbe, base: int) -> tuple[int, int] | None:
    """The reflector's counts in a probe's first and last reply, going on from `base` where the 32 bits wrap."""
    if probe.first is None or probe.last is None:
        return None
    first, last = (((count - base + _HALF) & _MASK) - _HALF + base for count in (probe.first, probe.last))
    return first, last


def _lowest_later(window: Sequence[tuple[int, int] | None], after: tuple[int, int] | None) -> list[float]:
    """For each probe the lowest count of a later one, as far as the reflector did not start anew."""
    lowest: list[float] = []
    low = math.inf if after is None else after[0]
    for counts in reversed(window):
        if counts is not None and counts[1] - low > _OVERTAKEN:
            low = math.inf
        lowest.append(low)
        if counts is not None:
            low = min(low, *counts)
    return lowest[::-1]


def _count(stretch: _Stretch, top: int | None, end: int, losses: list[int]) -> bool:
    """Add a stretch's missing probes to the losses; false where their direction is not known.

    `top` is the reflector's last count for the stretch, `end` our sequence after it.
    """
    back = _replies_unseen(stretch, top, end) if stretch.places else 0
    if back is None:
        losses[2] += len(stretch.places)
        return False
    for place in stretch.places:
        # Which ones of a gap were lost which way is not known: the first ones count as lost back, so that
        # the rows of a gap that lies in several windows add up.
        losses[1 if place <= back else 0] += 1
    return True


def _replies_unseen(stretch: _Stretch, top: int | None, end: int) -> int | None:
    """The replies that the reflector sent for the missing probes; None where its counts cannot say."""
    left = stretch.left
    if left is None or top is None or top < stretch.top:
        return None
    if left.reflected == left.sequence & _MASK and (top + 1) & _MASK == end & _MASK:
        return None  # a stateless reflector copies our sequence
    missing = end - left.sequence - 1 - stretch.answered
    back = top - stretch.start - len(stretch.seen)
    if not 0 <= back <= missing or any(count <= stretch.start for count in stretch.seen):
        return None  # the reflector started anew, or the path duplicated requests here
    if left.uncounted and 0 < back < missing:
        return None  # mixed, and a row before this right edge was there has called a part of it unknown
    return back
