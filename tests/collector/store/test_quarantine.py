from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest

from collector.store.database import Database
from collector.store.quarantine import KEPT_BYTES, KEPT_MESSAGES, Quarantine, QuarantinedMessage
from tests.collector.report_samples import NOON


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "journal.duckdb", memory_limit_mb=256)
    yield database
    database.close()


def rejected(number: int, reason: str = "malformed") -> QuarantinedMessage:
    return QuarantinedMessage(f"topic/{number}", b"payload", reason, "line 1", NOON)


def latest(database: Database) -> list[QuarantinedMessage]:
    """What is kept, newest first."""
    rows = database.rows("SELECT topic, payload, reason, detail, received_at FROM quarantine ORDER BY number DESC")
    return [
        QuarantinedMessage(topic, payload, reason, detail, at.replace(tzinfo=UTC))
        for topic, payload, reason, detail, at in rows
    ]


def test_a_rejected_message_is_kept_with_its_reason(database: Database) -> None:
    quarantine = Quarantine(database)
    quarantine.add([rejected(1), rejected(2, "foreign")])
    assert latest(database) == [rejected(2, "foreign"), rejected(1)]
    assert quarantine.counts == {"malformed": 1, "foreign": 1}


def test_only_the_latest_messages_are_kept_but_all_are_counted(database: Database) -> None:
    quarantine = Quarantine(database)
    quarantine.add([rejected(0)])
    quarantine.add([rejected(number) for number in range(1, KEPT_MESSAGES + 6)])
    kept = latest(database)
    assert [message.topic for message in kept] == [f"topic/{number}" for number in range(KEPT_MESSAGES + 5, 5, -1)]
    assert quarantine.counts == {"malformed": KEPT_MESSAGES + 6}


def test_a_long_payload_is_cut(database: Database) -> None:
    quarantine = Quarantine(database)
    quarantine.add([QuarantinedMessage("t", b"x" * 100_000, "oversized", "d" * 9999, NOON)])
    (kept,) = latest(database)
    assert kept.payload == b"x" * KEPT_BYTES
    assert len(kept.detail) == 500


def test_counts_survive_a_restart(database: Database) -> None:
    Quarantine(database).add([rejected(1)])
    again = Quarantine(database)
    again.add([rejected(2)])
    assert again.counts == {"malformed": 2}
    assert [message.topic for message in latest(database)] == ["topic/2", "topic/1"]
