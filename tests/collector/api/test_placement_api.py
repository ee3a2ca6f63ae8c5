"""Placements and capacities over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from collector.api import placement_api as placements
from collector.api.api_requests import answer_errors
from collector.api.placement_api import add_capacity, add_placements
from collector.placement.placement import NoTransfer, PlacementInputs, PlannedTransfer
from linkweather.mesh import Mesh
from linkweather.models.placements import PlacementAnswer
from linkweather.models.state import CapacityAnswer

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MESH = Mesh.model_validate(
    {"sites": {"a": {"address": "192.0.2.1", "compute_id": "CN-1"}, "b": {"address": "192.0.2.2"}}}
)
TOLD = [
    CapacityAnswer(site=site, type="a100", total=8, free=8, state="fresh", at=NOON, age_s=5.0, compute_id=compute_id)
    for site, compute_id in (("a", "CN-1"), ("b", None))
]
JOB: dict[str, Any] = {
    "data": [{"site": "CN-1", "bytes": "1GB"}],
    "devices": [{"type": "a100", "count": 8, "work_device_hours": 8}],
}

NOWHERE = {"site": "x", "bytes": 1}


def move(src: str, dst: str, size: int) -> PlannedTransfer | NoTransfer:
    return PlannedTransfer(size / 1e9, size / 5e8, 0.0, (src, dst))


@pytest.fixture
def remembered() -> list[PlacementAnswer]:
    return []


@pytest.fixture
async def http(remembered: list[PlacementAnswer]) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    answer_errors(app)
    add_capacity(app, lambda: TOLD)
    add_placements(app, lambda: PlacementInputs(NOON, MESH, TOLD, move), remembered.append)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://collector") as client:
        yield client


async def refused(http: httpx.AsyncClient, asked: Any, status: int = 422) -> tuple[str, str | None]:
    content = asked if isinstance(asked, str) else json.dumps(asked)
    answer = await http.post("/api/v1/placements", content=content)
    assert answer.status_code == status
    return answer.json()["error"], answer.json()["field"]


async def test_capacities_are_listed_with_their_ages(http: httpx.AsyncClient) -> None:
    first = (await http.get("/api/v1/capacity")).json()[0]
    assert (first["site"], first["compute_id"], first["type"], first["age_s"]) == ("a", "CN-1", "a100", 5.0)
    assert first["queue_s"] is None


async def test_one_job_gets_one_answer(http: httpx.AsyncClient) -> None:
    answer = (await http.post("/api/v1/placements", json=JOB)).json()
    assert (answer["site"], answer["compute_id"], answer["done_p50_s"]) == ("a", "CN-1", 3600.0)
    assert [site["site"] for site in answer["ranking"]] == ["a", "b"]


async def test_several_jobs_get_one_answer_each_and_the_comparison(http: httpx.AsyncClient) -> None:
    answer = (await http.post("/api/v1/placements", json={"jobs": [JOB, {**JOB, "name": "second"}]})).json()
    # The first runs at a (3600 s); the second would wait an hour there, and is done at b after 3601 s.
    assert [(one["job"], one["site"], one["done_p50_s"]) for one in answer["placements"]] == [
        ("job", "a", 3600.0),
        ("second", "b", 3601.0),
    ]
    assert (answer["unplaced"], answer["total_p50_s"], answer["first_come_total_p50_s"]) == (0, 7201.0, 7201.0)
    assert answer["placements"][1]["why"] == ("b is done after 60.0 min: a would be sooner (60.0 min), but runs job.")


async def test_no_site_is_an_answer_with_the_reasons(http: httpx.AsyncClient) -> None:
    answer = (await http.post("/api/v1/placements", json={**JOB, "deadline_s": "10min"})).json()
    assert answer["site"] is None
    assert [site["reason"] for site in answer["excluded"]] == ["deadline", "deadline"]


@pytest.mark.parametrize(
    ("asked", "error", "field"),
    [
        ({**JOB, "max_price": 5}, "max_price = 5: no such key", "max_price"),
        (
            {**JOB, "result": {"site": "x", "bytes": 1}},
            "result.site = 'x': no such site; the mesh has a, b",
            "result.site",
        ),
        ({"jobs": []}, "jobs = []: must have at least 1 entry", "jobs"),
        ({"jobs": [{**JOB, "name": 5}]}, "jobs[0].name = 5: must be a string in quotes", "jobs[0].name"),
        ({"jobs": [JOB], "at": 1}, "at = 1: no such key", "at"),
        ([], 'must be a job, or {"jobs": [job, …]}', None),
        ("{", "is not JSON: EOF while parsing an object at line 1 column 1", None),
        ('{"deadline_s": NaN}', "data: required, but missing", "data"),
    ],
)
async def test_what_cannot_be_asked_is_one_sentence_with_its_field(
    http: httpx.AsyncClient, asked: Any, error: str, field: str | None
) -> None:
    assert await refused(http, asked) == (error, field)


async def test_a_question_without_end_is_refused(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placements, "JOBS_BYTES_MAX", 100)
    assert await refused(http, "x" * 101, 413) == ("jobs may have at most 100 bytes", None)


@pytest.mark.parametrize("asked", [JOB, {"jobs": [JOB, JOB]}])
async def test_every_placement_is_remembered(
    http: httpx.AsyncClient, remembered: list[PlacementAnswer], asked: dict[str, Any]
) -> None:
    assert (await http.post("/api/v1/placements", json=asked)).status_code == 200
    assert {answer.site for answer in remembered} <= {"a", "b"}
    assert len(remembered) == len(asked.get("jobs", [JOB]))
