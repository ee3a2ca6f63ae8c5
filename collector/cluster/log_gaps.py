"""The stretches of the log that an owner has still to read, older than what it reads now. Pure.

An owner that is new to a partition reads what came of late first: decisions stand on it. The stretch before that, from
where its record ends, is a gap, which it fills beside. Only what is whole counts as read: how far a partition was read
is the gap's beginning, so that after a crash the gap is still there.
"""

from __future__ import annotations


class LogGaps:
    """At most one gap a partition: from the next offset to be read up to its end, which is not part of it."""

    def __init__(self) -> None:
        self._gaps: dict[int, tuple[int, int]] = {}

    @property
    def positions(self) -> dict[int, int]:
        """Partition → the next offset of its gap."""
        return {part: position for part, (position, _) in self._gaps.items()}

    def open(self, part: int, position: int, end: int) -> None:
        """There is a gap, unless it is empty."""
        self._gaps.pop(part, None)
        if position < end:
            self._gaps[part] = (position, end)

    def drop(self, part: int) -> None:
        """The partition is another owner's."""
        self._gaps.pop(part, None)

    def read(self, part: int, offset: int) -> None:
        """A message was taken in: of the gap, or beyond it, which ends it."""
        if part in self._gaps:
            self.open(part, offset + 1, self._gaps[part][1])
