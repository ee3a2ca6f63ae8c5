from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.sinks import exporter as exporter_module
from collector.store.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.duckdb")
    yield journal
    journal.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLL_S", "RETRY_FIRST_S", "OPERATOR_RETRY_S"):
        monkeypatch.setattr(exporter_module, name, 0.02)
