"""The command `ledger`, against the real API over a real journal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fastapi import FastAPI

from collector.api.costly_questions import CostlyQuestions
from collector.api.ledger_api import add_ledger
from collector.sinks.backlog import Backlog
from collector.store.journal import Journal
from collector.total_ledger import Ledger
from linkweather.cli.root import main
from linkweather.wire import BootCount, Status
from tests.collector.commands.serving import serving
from tests.collector.report_samples import entry, latency


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    journal = Journal(tmp_path / "journal.duckdb")
    Backlog(journal.database, "influx")
    journal.commit([entry(latency(seq), site) for site in ("a", "b") for seq in range(3)])
    yield Ledger(journal, ["influx"])
    journal.close()


@pytest.fixture
def api(ledger: Ledger) -> Iterator[str]:
    app = FastAPI()
    add_ledger(app, ledger.answer, CostlyQuestions())
    with serving(app) as url:
        yield url


def run(api: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["ledger", *arguments, "--api", api])


def test_the_tables_and_a_sentence_say_where_everything_went(api: str) -> None:
    result = run(api)
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == (
        "6 reports written = 6 committed; influx: 6 rows = 0 exported + 6 waiting; the ledger balances"
    )
    line = next(line for line in result.output.splitlines() if line.split()[:1] == ["b"])
    assert line.split() == ["b", "boot-1", "3", "3", "0", "0", "0", "0", "0"]


def test_a_loss_ends_with_status_1_and_is_the_same_in_json(ledger: Ledger, api: str) -> None:
    ledger.said("b", Status(state="online", boots=(BootCount(boot="boot-1", next=5),)))
    assert run(api).exit_code == 1
    document = json.loads(run(api, "--json", "--site", "b").output)
    assert document["balanced"] is False
    assert [(line["site"], line["gaps"]) for line in document["outboxes"]] == [("b", 2)]


def test_a_limit_says_how_many_more_there_are(api: str) -> None:
    assert "1 further outboxes: --limit shows more" in run(api, "--limit", "1").output
