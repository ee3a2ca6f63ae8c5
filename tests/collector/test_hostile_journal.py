"""A collector over a journal that holds what no admission would let in: it serves, answers and exports."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.settings import ApiSettings, CollectorBroker, CollectorSettings, JournalSettings
from collector.sinks.builtin import MqttSettings, ParquetSettings
from collector.store.columns import FIGURES, TABLES, naive
from collector.store.decision_log import DECISION_TABLES, DecisionLog
from collector.store.journal import JOURNAL_FILE, Journal
from collector.store.packed_delays import stored_columns, stored_in
from collector.store.recorded_rows import METRICS
from tests import servers
from tests.collector.running_collector import THREE, running

REALS = ("1e300", "3.4e38", "'nan'", "'infinity'", "'-infinity'", "-1.0")
COUNTS = ("9223372036854775807", "-9223372036854775808", "-1")
STEPS = ("2147483647", "-2147483648", "0")
TEXTS = ("'a' || chr(0) || 'b'", "'é'", "''", "repeat('x', 100000)", "chr(8238)")
NESTED = ("'[{}]'", "'no JSON'", """'[{"ttl":1e300}]'""", """'[{"start":"9999-12-31T23:59:59Z","lost":-1}]'""")
MAPS = ("MAP {'x': 'nan'::DOUBLE, 'y': 1e300}", "MAP {'é': 1.0}")
TIMES = ("'1969-01-01'", "'9999-12-31 23:59:59'", "'infinity'", "'-infinity'", "'290000-01-01'")
EXTREMES = {"DOUBLE": REALS, "BIGINT": COUNTS, "INTEGER": STEPS, "VARCHAR": TEXTS, "BOOLEAN": ("NULL",), FIGURES: MAPS}
BASE = {
    "latency_rows": {
        "sent": "50",
        "received": "49",
        "steps_per_s": "1000000",
        "rtt_p50_s_steps": "20000",
        "during_throughput": "false",
    },
    "throughput": {"goodput_bps": "1e8"},
    "path": {"hops": "'[]'", "fingerprint": "'f'", "changed": "false"},
    "capacity": {"type": "'a100'", "total": "8"},
    "decisions": {"occasion": "'changed'", "objective": "'latency'", "path": "'a b'"},
    "placements": {"job": "'job'", "site": "'a'"},
}
KEPT = ("src", "dst", "site")


def insert(journal: Journal, table: str, columns: dict[str, str], change: dict[str, str], number: int) -> None:
    now = naive(datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    ends = {"src": "'a'", "dst": "'b'", "site": "'a'", "method": "'stamp'", "boot": "'x'", "seq": str(number)}
    times = {"at": f"'{now}'", "received_at": f"'{now}'", "number": str(number)}
    values = {name: value for name, value in (ends | times | BASE[table] | change).items() if name in columns}
    names = ", ".join(f'"{name}"' for name in values)
    with journal.database.transaction() as connection:
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join(values.values())})")  # noqa: S608


def corrupt(path: Path) -> int:
    """A journal with an extreme in each column of each table, a row for each; how many rows."""
    path.parent.mkdir()
    journal = Journal(path)
    DecisionLog(journal.database)
    number = 0
    tables: dict[str, dict[str, str]] = {stored_in(kind): stored_columns(kind) for kind in TABLES}
    tables |= {name: dict(columns) for name, columns in DECISION_TABLES.items()}
    for table, columns in tables.items():
        nested = {name for kind in TABLES if stored_in(kind) == table for name in TABLES[kind].nested}
        for name, sql in columns.items():
            extremes = NESTED if name in nested else TIMES if sql == "TIMESTAMP" else EXTREMES[sql]
            for value in extremes if name not in {"number", *KEPT} else ():
                number += 1
                insert(journal, table, columns, {name: value}, number)
    with journal.database.transaction() as connection:
        connection.execute("INSERT INTO received VALUES (chr(0), 'é', 9223372036854775806, 9223372036854775807)")
        connection.execute("INSERT INTO received VALUES ('a', '', -5, -9), (NULL, NULL, NULL, NULL)")
    journal.close()
    return number


@pytest.fixture
def settings(tmp_path: Path, broker_port: int) -> CollectorSettings:
    (tmp_path / "mesh.toml").write_text(THREE)
    return CollectorSettings(
        broker=CollectorBroker(url=f"mqtt://127.0.0.1:{broker_port}"),
        mesh=tmp_path / "mesh.toml",
        data_dir=tmp_path / "data",
        api=ApiSettings(port=servers.free_port()),
        journal=JournalSettings(memory_limit_mb=256),
        sinks={"files": ParquetSettings(folder=tmp_path / "files", linger_s=0.0), "again": MqttSettings()},
    )


async def test_a_collector_over_a_hostile_journal_serves_answers_and_exports(settings: CollectorSettings) -> None:
    corrupt(settings.data_dir / JOURNAL_FILE)
    async with running(settings) as collector:
        await collector.until("/readyz", lambda answer: answer.status_code == 200)
        links = json.loads((await collector.http.get("/api/v1/links")).text, parse_constant=_refuse)
        assert (links[0]["src"], links[0]["dst"], len(links)) == ("a", "b", 6)
        assert links[0]["state"] in {"fresh", "down"}
        for path in ("sites", "capacity", "routes?objective=latency", "routes?objective=goodput", "evaluation"):
            answer = await collector.http.get(f"/api/v1/{path}")
            assert answer.status_code == 200, answer.text
            json.loads(answer.text, parse_constant=_refuse)
        for metric in METRICS:
            answer = await collector.http.get(f"/api/v1/links/a/b/history?metric={metric}&since=1h")
            assert answer.status_code == 200, (metric, answer.text)
        assert (await collector.http.get("/metrics")).status_code == 200
        await collector.until("/api/v1/sinks", _written)


def _written(answer: Any) -> bool:
    return all(sink["lag_rows"] == 0 for sink in answer.json())


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
