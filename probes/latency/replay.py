"""Which requests of an authenticated session were answered already: a window of sequences (as in RFC 4303 §3.4.3)."""

from __future__ import annotations

WINDOW = 1024  # what comes so far behind the newest may be a replay, and is taken for one

_MASK = 0xFFFFFFFF
_HALF = 0x80000000
_TIME_MASK = 0xFFFFFFFFFFFFFFFF
_TIME_HALF = 0x8000000000000000
_BITS = (1 << WINDOW) - 1


class Replays:
    """The sequences of one session that were seen: the newest, and a bit for each of those just before it."""

    __slots__ = ("_bits", "_newest", "_timestamp")

    def __init__(self, sequence: int, timestamp: int) -> None:
        self._newest = sequence
        self._timestamp = timestamp
        self._bits = 1

    def accept(self, sequence: int, timestamp: int) -> bool:
        """Remember a request by its sequence and timestamp, as they are on the wire; false for a replay.

        A sender that starts anew counts from the beginning, but its clock has gone on: no replay has a later
        timestamp than any request before.
        """
        later = 0 < (timestamp - self._timestamp) & _TIME_MASK < _TIME_HALF
        ahead = (sequence - self._newest) & _MASK
        if 0 < ahead < _HALF:
            self._newest = sequence
            self._bits = (self._bits << ahead | 1) & _BITS if ahead < WINDOW else 1
        elif not self._fill((self._newest - sequence) & _MASK):
            if not later:
                return False
            self._newest, self._bits = sequence, 1
        if later:
            self._timestamp = timestamp
        return True

    def _fill(self, behind: int) -> bool:
        """Mark a sequence of the window; false when it is marked, or before the window."""
        bit = 1 << behind if behind < WINDOW else 0
        if not bit or self._bits & bit:
            return False
        self._bits |= bit
        return True
