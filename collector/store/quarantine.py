"""Quarantine: messages that can never be accepted, counted by reason; the latest are kept for inspection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from collector.store.columns import naive
from collector.store.database import Database
from collector.store.outbox_ledger import REFUSALS_TABLE, count_refusals

KEPT_MESSAGES = 1000
KEPT_BYTES = 4096
_KEPT_DETAIL_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class QuarantinedMessage:
    """One message and why it was refused; the first KEPT_BYTES of its payload are kept."""

    topic: str
    payload: bytes
    reason: str
    detail: str
    received_at: datetime


class Quarantine:
    """The latest refused messages, and the number of all for each reason. Any thread may call."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS quarantine (number BIGINT, received_at TIMESTAMP, topic VARCHAR, "
                "reason VARCHAR, detail VARCHAR, payload BLOB)"
            )
            connection.execute("CREATE TABLE IF NOT EXISTS rejections (reason VARCHAR, messages BIGINT)")
            connection.execute(REFUSALS_TABLE)
        self._last_number = 0
        self._counts: Counter[str] = Counter()
        database.remember(self._read)

    @property
    def counts(self) -> Mapping[str, int]:
        """Reason → messages, since the journal began."""
        return self._counts

    def add(self, rejected: Sequence[QuarantinedMessage], refusals: Iterable[tuple[str, str, str]] = ()) -> None:
        """Keep these, and drop the oldest beyond KEPT_MESSAGES. Raises duckdb.Error when the disk fails.

        `refusals` are the reports among them, by site, boot and reason: for the ledger.
        """
        with self._database.transaction() as connection:
            counts = self._counts + Counter(message.reason for message in rejected)
            last = self._last_number + len(rejected)
            first_kept = last - min(len(rejected), KEPT_MESSAGES) + 1
            rows = [
                (number, *_row(message))
                for number, message in zip(range(first_kept, last + 1), rejected[-KEPT_MESSAGES:], strict=True)
            ]
            # Column by column: row by row a flood of bad ones holds up the commits.
            columns = [list(column) for column in zip(*rows, strict=True)]
            connection.execute("INSERT INTO quarantine SELECT " + ", ".join(["unnest(?)"] * len(columns)), columns)
            connection.execute("DELETE FROM quarantine WHERE number <= ?", [last - KEPT_MESSAGES])
            count_refusals(connection, refusals)
            connection.execute("DELETE FROM rejections")
            connection.executemany("INSERT INTO rejections VALUES (?, ?)", list(counts.items()))
        self._counts = counts
        self._last_number = last

    def _read(self) -> None:
        self._last_number = self._database.rows("SELECT coalesce(max(number), 0) FROM quarantine")[0][0]
        self._counts = Counter(dict(self._database.rows("SELECT reason, messages FROM rejections")))


def _row(message: QuarantinedMessage) -> tuple[datetime, str, str, str, bytes]:
    detail = message.detail[:_KEPT_DETAIL_CHARACTERS]
    return naive(message.received_at), message.topic[:KEPT_BYTES], message.reason, detail, message.payload[:KEPT_BYTES]
