"""The keys of all reports that the journal ever had: per outbox, ranges of sequence numbers. Pure.

An outbox numbers its reports one by one, so its keys are nearly always one range; each gap that an overflow of the
outbox left adds one. So keys can be kept for ever.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

Key = tuple[str, str, int]  # site, boot, seq
Range = tuple[str, str, int, int]  # site, boot, first and last seq


@dataclass(frozen=True, slots=True)
class RangeChanges:
    """What more keys change: ranges that are gone, ranges that get another end, and new ones."""

    gone: list[Range]
    extended: list[Range]
    new: list[Range]


class ReportKeys:
    """A set of report keys. Ranges to begin with are in order, and may touch or overlap."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        # (site, boot) → the first and the last numbers of its ranges, both ascending.
        self._ranges: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
        for site, boot, first, last in ranges:
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

    def grown(self, keys: Iterable[Key]) -> ReportKeys:
        """The outboxes of these keys alone, with the keys added: for `changes`, and for `update` thereafter."""
        grown = ReportKeys()
        for outbox, some in groupby(sorted(keys), key=lambda key: key[:2]):
            firsts, lasts = self._ranges.get(outbox, ([], []))
            grown._ranges[outbox] = firsts.copy(), lasts.copy()
            for key in some:
                grown.add(key)
        return grown

    def changes(self, grown: ReportKeys) -> RangeChanges:
        """How the ranges of `grown` differ from those here."""
        before = {(site, boot, first): last for outbox in grown._ranges for site, boot, first, last in self._of(outbox)}
        after = {(site, boot, first): last for site, boot, first, last in grown.ranges()}
        return RangeChanges(
            gone=[(*start, last) for start, last in before.items() if start not in after],
            extended=[(*start, last) for start, last in after.items() if before.get(start, last) != last],
            new=[(*start, last) for start, last in after.items() if start not in before],
        )

    def update(self, grown: ReportKeys) -> None:
        """Take over the outboxes of `grown`."""
        self._ranges.update(grown._ranges)

    def ranges(self) -> Iterator[Range]:
        """All ranges, as few as possible."""
        for outbox in self._ranges:
            yield from self._of(outbox)

    def _of(self, outbox: tuple[str, str]) -> Iterator[Range]:
        firsts, lasts = self._ranges.get(outbox, ([], []))
        for first, last in zip(firsts, lasts, strict=True):
            yield *outbox, first, last

    def _append(self, site: str, boot: str, first: int, last: int) -> None:
        firsts, lasts = self._ranges.setdefault((site, boot), ([], []))
        if lasts and first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
