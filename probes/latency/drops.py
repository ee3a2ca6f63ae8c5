"""Says what a reflector did not answer, or flagged: in one line a minute at most, however much it was."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

log = logging.getLogger(__name__)

EVERY_S = 60.0


def reasons(counts: Mapping[str, int]) -> str:
    """Counts for people: `2 loop, 1 short`."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))


async def tell(dropped: Counter[str], *, every_s: float = EVERY_S) -> None:
    """Log what is new in these counts, if anything is, until cancelled."""
    told: Counter[str] = Counter()
    while True:
        await asyncio.sleep(every_s)
        new = dropped - told
        if new:
            log.warning("the reflector dropped %d datagrams in %g s: %s", new.total(), every_s, reasons(new))
            told = dropped.copy()
