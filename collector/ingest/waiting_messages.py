"""Messages that wait to be committed, in two lanes: what was measured just now, and what a site kept through an outage.

A backlog of hours fills the queue within seconds. Beside it new reports are taken at once: while both lanes wait, each
has half of a batch. In each lane sites take turns, a message at a time, and none has more than SITE_BYTES of a batch,
but for a message that is longer: a site that floods waits for itself, and a batch is short whatever comes. Where the
queue is full, it is the site with most in it that loses its newest, of its backlog first. Pure; bounded in bytes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from collector.ingest.admission import IncomingMessage, measured_at

BATCH_REPORTS: Final = 500
BATCH_BYTES: Final = 12_000_000
SITE_BYTES: Final = 400_000
MAX_WAITING_BYTES: Final = 128_000_000
# What a message holds beside its payload: topic, time, and the objects themselves.
MESSAGE_BYTES: Final = 500
# A report that was measured longer ago as it arrives was kept through an outage.
FRESH_FOR: Final = timedelta(seconds=60)


class WaitingMessages:
    """The queue between the connection and the commits; `overflowed` counts what there was no room for."""

    def __init__(self, max_bytes: int = MAX_WAITING_BYTES) -> None:
        self._max_bytes = max_bytes
        self._fresh: _Lane = OrderedDict()
        self._kept: _Lane = OrderedDict()
        self._of_site: Counter[str] = Counter()  # bytes
        self._count = 0
        self.bytes = 0
        self.overflowed = 0

    def __len__(self) -> int:
        return self._count

    @property
    def oldest_at(self) -> datetime | None:
        """When the oldest fresh message came, of a site with no more than its share: a backlog may wait."""
        heads = [(self._of_site[site] > SITE_BYTES, queue[0].received_at) for site, queue in self._fresh.items()]
        return min(heads)[1] if heads else None

    def put(self, message: IncomingMessage) -> bool:
        """Queue a message; false, and it is dropped, where there is no room for it."""
        site, size, at = _site(message), _size(message), measured_at(message)
        is_kept = at is not None and message.received_at - at > FRESH_FOR
        while self.bytes + size > self._max_bytes:
            self.overflowed += 1
            heaviest = max(self._of_site, key=self._of_site.__getitem__, default=site)
            if self._of_site[heaviest] <= self._of_site[site] + size:
                if is_kept or site not in self._kept:
                    return False
                heaviest = site  # its own backlog gives way to what is new
            self._drop_newest(heaviest)
        (self._kept if is_kept else self._fresh).setdefault(site, deque()).append(message)
        self._weigh(site, size, 1)
        return True

    def take(self) -> list[IncomingMessage]:
        """The next batch, of BATCH_REPORTS at most: fresh messages first, in half of it if others wait as well."""
        shares: Counter[str] = Counter()
        fresh_first = BATCH_REPORTS // 2 if self._kept else BATCH_REPORTS
        fresh = self._some(self._fresh, fresh_first, BATCH_BYTES // 2 if self._kept else BATCH_BYTES, shares)
        kept = self._some(self._kept, BATCH_REPORTS - len(fresh), BATCH_BYTES - sum(shares.values()), shares)
        fresh += self._some(
            self._fresh, BATCH_REPORTS - len(fresh) - len(kept), BATCH_BYTES - sum(shares.values()), shares
        )
        return fresh + kept

    def _some(self, lane: _Lane, most: int, most_bytes: int, shares: Counter[str]) -> list[IncomingMessage]:
        """Up to `most` messages, a message of each site in turn; `shares` is what each site has of the batch."""
        taken: list[IncomingMessage] = []
        for site in _turns(lane):
            size = _size(lane[site][0])
            if len(taken) == most or (most_bytes < size and shares):
                break
            if shares[site] and shares[site] + size > SITE_BYTES:
                continue
            message = lane[site].popleft()
            taken.append(message)
            shares[site] += size
            most_bytes -= size
            self._weigh(site, -size, -1)
            lane.move_to_end(site)
            if not lane[site]:
                del lane[site]
        return taken

    def _drop_newest(self, site: str) -> None:
        lane = self._kept if site in self._kept else self._fresh
        self._weigh(site, -_size(lane[site].pop()), -1)
        if not lane[site]:
            del lane[site]

    def _weigh(self, site: str, size: int, count: int) -> None:
        self.bytes += size
        self._count += count
        self._of_site[site] += size
        if not self._of_site[site]:
            del self._of_site[site]


# Each site's messages, the site whose turn it is first.
_Lane = OrderedDict[str, deque[IncomingMessage]]


def _turns(lane: _Lane) -> Iterator[str]:
    """The sites in turn, for as long as one of them is served in a round."""
    served = -1
    while served:
        before = sum(map(len, lane.values()))
        yield from list(lane)
        served = before - sum(map(len, lane.values()))


def _site(message: IncomingMessage) -> str:
    """Who sent it, by the level of the topic that names a site."""
    return "".join(message.topic.split("/", 4)[3:4])


def _size(message: IncomingMessage) -> int:
    return MESSAGE_BYTES + len(message.topic) + len(message.payload)
