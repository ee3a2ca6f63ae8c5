"""Sinks over the API, on real exporters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from collector.api.access import AccessControl, AccessRules
from collector.api.api_requests import answer_errors
from collector.api.costly_questions import CostlyQuestions
from collector.api.ledger_api import add_sinks
from collector.sinks.backlog import Backlog
from collector.sinks.exporters import Exporters
from collector.store.journal import Journal
from linkweather.broker import Broker
from tests.collector.sinks.exporting import ScriptedServer, fill, v2


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.duckdb")
    yield journal
    journal.close()


@pytest.fixture
def refusing() -> Iterator[ScriptedServer]:
    """Refuses the first two seconds' points."""
    with ScriptedServer(lambda body: (400 if "3440000" in body or "3440100" in body else 204, {}, b"bad")) as server:
        yield server


@pytest.fixture
def exporters(journal: Journal, refusing: ScriptedServer) -> Iterator[Exporters]:
    Backlog(journal.database, "old")
    fill(journal, range(10))
    found = Exporters(journal.database, {"main": v2(refusing.port)}, Broker("mqtt", "127.0.0.1", 1883))
    found.by_name["main"].step()
    yield found
    found.close()


@pytest.fixture
async def http(exporters: Exporters) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    answer_errors(app)
    add_sinks(app, exporters, CostlyQuestions())
    app.add_middleware(AccessControl, rules=AccessRules(own_token="s3cret"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        client.headers["Authorization"] = "Bearer s3cret"
        yield client


async def test_every_sink_says_how_it_is_and_a_removed_one_what_is_kept_for_it(http: httpx.AsyncClient) -> None:
    main, old = (await http.get("/api/v1/sinks")).json()
    assert main == {
        "sink": "main",
        "kind": "influx",
        "state": "running",
        "reason": None,
        "error": None,
        "lag_rows": 0,
        "exported_rows": 16,
        "set_aside_rows": 4,
        "dropped_rows": 0,
    }
    assert (old["sink"], old["state"], old["lag_rows"]) == ("old", "removed", 20)


async def test_what_a_sink_refused_is_listed_newest_first(http: httpx.AsyncClient) -> None:
    entries = (await http.get("/api/v1/sinks/main/set-aside?limit=3")).json()
    assert [(one["kind"], one["first"], one["rows"], one["reason"]) for one in entries] == [
        ("latency", first, 1, "400 Bad Request: bad") for first in (4, 3, 2)
    ]


async def test_what_a_sink_refused_is_sent_again(http: httpx.AsyncClient, exporters: Exporters) -> None:
    answer = (await http.post("/api/v1/sinks/main/set-aside/retry")).json()
    assert answer["set_aside_rows"] == 4
    entries = (await http.get("/api/v1/sinks/main/set-aside")).json()
    assert all(one["waiting"] for one in entries)
    exporters.by_name["main"].step()  # and refused again
    entries = (await http.get("/api/v1/sinks/main/set-aside")).json()
    assert [(one["rows"], one["waiting"]) for one in entries] == [(1, False)] * 4


async def test_what_a_sink_refused_is_dropped_and_so_is_all_that_is_kept_for_a_removed_one(
    http: httpx.AsyncClient,
) -> None:
    answer = (await http.delete("/api/v1/sinks/main/set-aside")).json()
    assert (answer["set_aside_rows"], answer["dropped_rows"]) == (0, 4)
    answer = (await http.delete("/api/v1/sinks/old/set-aside")).json()
    assert (answer["lag_rows"], answer["dropped_rows"]) == (0, 20)
    assert [one["sink"] for one in (await http.get("/api/v1/sinks")).json()] == ["main"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("POST", "/retry"), ("DELETE", "")], ids=["list", "retry", "drop"]
)
async def test_a_sink_that_is_not_there_is_said(http: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await http.request(method, f"/api/v1/sinks/none/set-aside{path}")
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        "there is no sink 'none'; `linkweather archive list` names them",
    )


@pytest.mark.parametrize(("method", "path"), [("POST", "/retry"), ("DELETE", "")], ids=["retry", "drop"])
async def test_only_who_has_a_write_token_changes_anything_from_this_machine_too(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    assert (await http.request(method, f"/api/v1/sinks/main/set-aside{path}")).status_code == 200
    del http.headers["Authorization"]
    assert (await http.request(method, f"/api/v1/sinks/main/set-aside{path}")).status_code == 401
