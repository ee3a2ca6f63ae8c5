"""What a reflector did not answer: counts by reason for metrics, and by address for a line a minute."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

log = logging.getLogger(__name__)

LOG_EVERY_S = 60.0
MOST_ADDRESSES = 64  # a reason and a minute: anyone can send from many
MOST_NAMED = 8  # in a line
BAD_HMAC = "bad_hmac"
# What is said of a sender whose datagrams were dropped for this reason.
PHRASES: Mapping[str, str] = {
    BAD_HMAC: "failed authentication (another key, or none?)",
    "short": "were too short (or without the authentication that this reflector asks for)",
    "loop": "were no requests by their form, from a reflector or its port",
    "oversize": "were too long",
    "not_allowed": "came from no allowed prefix",
    "rate": "came too fast",
    "replay": "were replays",
    "send_failed": "could not be answered",
    "overflow": "came while our own buffer was full",
}


class ReflectorDrops(Counter[str]):
    """Counts by reason, since the start; and by sender until `sentence` is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._senders: dict[str, Counter[str]] = {}
        self._before: Counter[str] = Counter()  # of the minute before, by address: what failed authentication

    def drop(self, reason: str, address: str, count: int = 1) -> None:
        """Count datagrams that were not answered. Beyond 64 addresses a minute a reason's others are one."""
        self[reason] += count
        senders = self._senders.setdefault(reason, Counter())
        senders[address if address in senders or len(senders) < MOST_ADDRESSES else "other addresses"] += count

    def unauthenticated(self) -> dict[str, int]:
        """How many probes failed authentication of late, a minute or two, by address: those with most."""
        found = self._before + self._senders.get(BAD_HMAC, Counter())
        return dict(found.most_common(MOST_NAMED))

    def sentence(self) -> str | None:
        """What was dropped since the last call, for people; None for nothing."""
        dropped = [
            (count, reason, address) for reason, senders in self._senders.items() for address, count in senders.items()
        ]
        self._before = self._senders.get(BAD_HMAC, Counter())
        self._senders.clear()
        if not dropped:
            return None
        dropped.sort(key=lambda drop: (-drop[0], *drop[1:]))
        named = [f"{count} from {address} {PHRASES.get(reason, reason)}" for count, reason, address in dropped]
        rest = sum(count for count, *_ in dropped[MOST_NAMED:])
        return "; ".join(named[:MOST_NAMED] + [f"{rest} others"] * bool(rest))


async def log_drops(drops: ReflectorDrops, *, every_s: float = LOG_EVERY_S) -> None:
    """Log what was dropped, if anything was, until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        sentence = drops.sentence()
        if sentence:
            log.warning("the reflector dropped datagrams of the last %g s: %s", every_s, sentence)


def reasons(counts: Mapping[str, int]) -> str:
    """Counts for people: `2 loop, 1 short`."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
