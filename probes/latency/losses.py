"""Which way probes were lost, read from a stateful reflector's count of its replies (RFC 8762 §4.3).

Between two probes that were answered, n are missing. The reflector's sequence says how many replies
it sent meanwhile: so many of the missing were lost on their way back, the others on their way there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

_MASK = 0xFFFFFFFF


class Probed(NamedTuple):
    """A probe of our count, and the reflector's counts in its first and last reply; None without a reply."""

    sequence: int
    first: int | None
    last: int | None


class Edge(NamedTuple):
    """The last answered probe; `untold`: whether a row has called missing ones after it unknown already."""

    sequence: int
    reflected: int
    untold: bool = False


class Losses(NamedTuple):
    """Missing probes by direction."""

    forward: int
    back: int
    unknown: int


def by_direction(probes: Iterable[Probed], left: Edge | None, right: Probed | None) -> tuple[Losses, Edge | None]:
    """Tell the directions of a window's missing probes.

    `probes` are the window's, in the order of sending; `left` is what was left by the window before;
    `right` is the first answered probe of a later window, if there is one. Returns the losses and the next `left`.
    """
    counts = [0, 0, 0]
    missing: list[int] = []
    for probe in probes:
        if probe.first is None or probe.last is None:
            missing.append(probe.sequence)
            continue
        _tell(missing, left, probe, counts)
        left = Edge(probe.sequence, probe.last)
        missing.clear()
    if not _tell(missing, left, right, counts) and left:
        left = left._replace(untold=True)
    return Losses(*counts), left


def _tell(missing: list[int], left: Edge | None, right: Probed | None, counts: list[int]) -> bool:
    """Add the missing ones of one gap to the counts; false where their direction could not be told."""
    back = _replies_between(left, right) if missing else 0
    if left is None or back is None:
        counts[2] += len(missing)
        return not missing
    for sequence in missing:
        # Nobody can say which ones of a gap were lost which way: the first ones count as lost back, so that
        # the rows of a gap that lies in several windows add up.
        counts[1 if sequence - left.sequence <= back else 0] += 1
    return True


def _replies_between(left: Edge | None, right: Probed | None) -> int | None:
    """The replies that the reflector sent for the missing probes; None where its counts cannot say."""
    if left is None or right is None or right.first is None:
        return None
    if left.reflected == left.sequence & _MASK and right.first == right.sequence & _MASK:
        return None  # a stateless reflector copies our sequence
    gap = right.sequence - left.sequence - 1
    back = ((right.first - left.reflected) & _MASK) - 1
    if not 0 <= back <= gap:
        return None  # the reflector started anew, or the path reordered or duplicated requests here
    if left.untold and 0 < back < gap:
        return None  # mixed, and a row before this right edge was there has called a part of it unknown
    return back
