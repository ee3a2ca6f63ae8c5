"""The keys of all reports that the journal ever had: per outbox, ranges of sequence numbers. Pure.

An outbox numbers its reports one by one, so its keys are nearly always one range; each gap that an overflow of the
outbox left adds one. So keys can be kept for ever.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

Key = tuple[str, str, int]  # site, boot, seq
Range = tuple[str, str, int, int]  # site, boot, first and last seq


class ReportKeys:
    """A set of report keys."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        # (site, boot) → the first and the last numbers of its ranges, both ascending.
        self._ranges: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
        for site, boot, first, last in sorted(ranges):
            self._append(site, boot, first, last)

    def __contains__(self, key: Key) -> bool:
        site, boot, seq = key
        firsts, lasts = self._ranges.get((site, boot), ([], []))
        place = bisect_right(firsts, seq) - 1
        return place >= 0 and seq <= lasts[place]

    def add(self, key: Key) -> None:
        """Add one key; a key that is in the set already changes nothing."""
        if key in self:
            return
        site, boot, seq = key
        firsts, lasts = self._ranges.setdefault((site, boot), ([], []))
        place = bisect_right(firsts, seq)
        joins_left = place > 0 and lasts[place - 1] == seq - 1
        joins_right = place < len(firsts) and firsts[place] == seq + 1
        if joins_left and joins_right:
            lasts[place - 1] = lasts.pop(place)
            firsts.pop(place)
        elif joins_left:
            lasts[place - 1] = seq
        elif joins_right:
            firsts[place] = seq
        else:
            firsts.insert(place, seq)
            lasts.insert(place, seq)

    def ranges(self) -> Iterator[Range]:
        """All ranges, as few as possible."""
        for (site, boot), (firsts, lasts) in self._ranges.items():
            for first, last in zip(firsts, lasts, strict=True):
                yield site, boot, first, last

    def _append(self, site: str, boot: str, first: int, last: int) -> None:
        firsts, lasts = self._ranges.setdefault((site, boot), ([], []))
        if lasts and first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
