"""What was dropped because too much waited: counted by the queue's name, for the whole process; said once each.

Where a queue is full, what comes next is dropped, and whoever drops it calls `note`. The collector's counts are in its
metrics, a probe's in its status. A room of its own beside `containment`: an overflow is a limit that held, no fault.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

log = logging.getLogger(__name__)

_counts: Counter[str] = Counter()


def note(queue: str, count: int = 1) -> None:
    """Count what `queue`, one of a few fixed names, had no room for; log the first. Any thread."""
    if queue not in _counts:
        log.warning("too much waits for %s: what comes beyond the limit is dropped, and counted from now on", queue)
    _counts[queue] += count


def overflows() -> Mapping[str, int]:
    """Queue → what was dropped since the process started."""
    return dict(_counts)
