"""The command `archive`, against the real API over real exporters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fastapi import FastAPI

from collector.api.api_requests import answer_errors
from collector.api.costly_questions import CostlyQuestions
from collector.api.ledger_api import add_sinks
from collector.sinks.backlog import Backlog
from collector.sinks.exporters import Exporters
from collector.store.journal import Journal
from linkweather.broker import Broker
from linkweather.cli.root import main
from tests import servers
from tests.collector.commands.serving import serving
from tests.collector.sinks.exporting import ScriptedServer, fill, v2


@pytest.fixture
def sinks(tmp_path: Path) -> Iterator[Exporters]:
    """One that takes every row but the first two, one that is away, and one that is no longer configured."""
    journal = Journal(tmp_path / "journal.duckdb")
    Backlog(journal.database, "old")
    fill(journal, range(10))
    with ScriptedServer(lambda body: (400 if "3440000" in body else 204, {}, b"bad row")) as server:
        tables = {"main": v2(server.port), "other": v2(servers.free_port())}
        exporters = Exporters(journal.database, tables, Broker("mqtt", "127.0.0.1", 1883))
        exporters.by_name["main"].step()
        yield exporters
        exporters.close()
    journal.close()


@pytest.fixture
def api(sinks: Exporters) -> Iterator[str]:
    app = FastAPI()
    answer_errors(app)
    add_sinks(app, sinks, CostlyQuestions())
    with serving(app) as url:
        yield url


def archive(api: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["archive", *arguments, "--api", api])


def lines(result: Result) -> list[list[str]]:
    return [line.split() for line in result.output.splitlines() if line.strip()]


def test_every_sink_is_a_line(api: str) -> None:
    result = archive(api, "list")
    assert result.exit_code == 0
    assert lines(result)[2:] == [
        ["main", "influx", "running", "0", "18", "2", "0"],
        ["other", "influx", "running", "20", "0", "0", "0"],
        ["old", "–", "removed", "20", "0", "0", "0"],
    ]
    assert [one["sink"] for one in json.loads(archive(api, "list", "--json").output)] == ["main", "other", "old"]


async def test_why_a_sink_fails_stands_below_the_table(api: str, sinks: Exporters) -> None:
    task = asyncio.create_task(sinks.by_name["other"].run(), name="exporter")
    async with asyncio.timeout(90):
        while sinks.by_name["other"].trouble is None:  # noqa: ASYNC110 – it works in a thread
            await asyncio.sleep(0.01)
    result = await asyncio.to_thread(archive, api, "list")
    assert "failing" in result.output
    assert result.output.splitlines()[-1].startswith("other: http://127.0.0.1:")
    task.cancel()
    await asyncio.wait([task])


def test_what_a_sink_refused_is_listed_sent_again_and_dropped(api: str, sinks: Exporters) -> None:
    entries = json.loads(archive(api, "list", "main", "--json").output)
    assert [one["first"] for one in entries] == [2, 1]
    assert [line[2:] for line in lines(archive(api, "list", "main", "--limit", "1"))[2:3]] == [
        ["latency", "2", "1", "400", "Bad", "Request:", "bad", "row"]
    ]
    assert archive(api, "retry", "main").output == "sent to main again: 2 rows\n"
    assert "to be sent again; 400" in archive(api, "list", "main").output
    sinks.by_name["main"].step()
    assert archive(api, "drop", "main").output == "nothing is set aside for main; let go of so far: 2 rows\n"
    assert archive(api, "drop", "old").exit_code == 0
    assert [line[0] for line in lines(archive(api, "list"))[2:]] == ["main", "other"]


def test_a_sink_that_is_not_there_is_one_sentence(api: str) -> None:
    result = archive(api, "retry", "none")
    assert (result.exit_code, result.output) == (
        2,
        "Error: there is no sink 'none'; `linkweather archive list` names them\n",
    )
