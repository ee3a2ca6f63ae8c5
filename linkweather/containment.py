"""Containment: an unexpected exception costs the one thing that it arose in, is counted, and is logged once.

Who loops over things that are not its own (rows, links, tests, messages, callers, sinks) wraps each of them:

    with contained("link state"):
        observe(row)

or, where the loop is hot or a result must be given instead, catches Exception and calls `note`. Every fault is counted
by its place; the first of each place and type is logged with its traceback, as the next ones would say the same. What
is expected, a peer's malformed message say, is no fault: it has an error class and a counter of its own.

Nor is an overflow, a limit that held: where a queue is full, what comes next is dropped, and whoever drops it calls
`note_overflow`. The collector's counts are in its metrics, a probe's in its status.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping

log = logging.getLogger(__name__)

_counts: Counter[str] = Counter()
_overflowed: Counter[str] = Counter()
_logged: set[tuple[str, type[BaseException]]] = set()


def note(place: str, error: Exception) -> None:
    """Count a fault of ours at `place`, one of a few fixed names; log the first of its type there. Any thread."""
    _counts[place] += 1
    if (place, type(error)) not in _logged:
        _logged.add((place, type(error)))
        log.error(
            "%s: an unexpected fault is contained; further ones of its kind are only counted", place, exc_info=error
        )


@contextlib.contextmanager
def contained(place: str) -> Iterator[None]:
    """End the block at an unexpected exception, and carry on after it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - that is what it is for: the fault is counted and logged
        note(place, error)


def faults() -> Mapping[str, int]:
    """Place → faults of this process since it started."""
    return dict(_counts)


def note_overflow(queue: str, count: int = 1) -> None:
    """Count what `queue`, one of a few fixed names, had no room for; log the first. Any thread."""
    if queue not in _overflowed:
        log.warning("too much waits for %s: what comes beyond the limit is dropped, and counted from now on", queue)
    _overflowed[queue] += count


def overflows() -> Mapping[str, int]:
    """Queue → what was dropped since the process started."""
    return dict(_overflowed)
