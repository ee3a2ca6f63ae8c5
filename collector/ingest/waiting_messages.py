"""Messages that wait to be committed, in two lanes: what was measured just now, and what a site kept through an outage.

A backlog of hours fills the queue within seconds. Beside it new reports are taken at once: while both lanes wait, each
has half of a batch. Pure; bounded in bytes.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Final

from collector.ingest.admission import IncomingMessage, measured_at

BATCH_REPORTS: Final = 200
MAX_WAITING_BYTES: Final = 128_000_000
# What a message holds beside its payload: topic, time, and the objects themselves.
MESSAGE_BYTES: Final = 500
# A report that was measured longer ago as it arrives was kept through an outage.
FRESH_FOR: Final = timedelta(seconds=60)


class WaitingMessages:
    """The queue between the connection and the commits."""

    def __init__(self, max_bytes: int = MAX_WAITING_BYTES) -> None:
        self._max_bytes = max_bytes
        self._fresh: deque[IncomingMessage] = deque()
        self._kept: deque[IncomingMessage] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._fresh) + len(self._kept)

    @property
    def oldest_at(self) -> datetime | None:
        """When the oldest fresh message came: a backlog may wait."""
        return self._fresh[0].received_at if self._fresh else None

    def put(self, message: IncomingMessage) -> bool:
        """Queue a message; false, and it is dropped, where there is no room for it."""
        if self.bytes + _size(message) > self._max_bytes:
            return False
        at = measured_at(message)
        is_kept = at is not None and message.received_at - at > FRESH_FOR
        (self._kept if is_kept else self._fresh).append(message)
        self.bytes += _size(message)
        return True

    def take(self) -> list[IncomingMessage]:
        """The next batch, of BATCH_REPORTS at most: fresh messages first, in half of it if others wait as well."""
        kept = min(len(self._kept), max(BATCH_REPORTS // 2, BATCH_REPORTS - len(self._fresh)))
        fresh = min(len(self._fresh), BATCH_REPORTS - kept)
        batch = [self._fresh.popleft() for _ in range(fresh)] + [self._kept.popleft() for _ in range(kept)]
        self.bytes -= sum(map(_size, batch))
        return batch


def _size(message: IncomingMessage) -> int:
    return MESSAGE_BYTES + len(message.topic) + len(message.payload)
