"""Routes and their evaluation over real HTTP, on a real router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from collector.api import cached_answers
from collector.api.api_requests import answer_errors
from collector.api.route_api import RouteSources, add_routes
from collector.linkstate.snapshot import Snapshot
from collector.routing.route_question import RouteQuestion
from collector.routing.router import Router
from collector.settings import RoutingSettings
from linkweather.mesh import Mesh
from linkweather.models.routes import MeshRoutes, PathExpectation, RouteAnswer, UnroutedPair
from linkweather.models.scores import EvaluationAnswer
from tests.collector.api.serving import served
from tests.collector.routing.deciding import decide_all

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MESH = Mesh.model_validate(
    {
        "sites": {
            "a": {"address": "192.0.2.1", "compute_id": "CN-1", "egress_usd_per_gb": 0.05},
            "b": {"address": "192.0.2.2"},
            "c": {"address": "192.0.2.3", "egress_usd_per_gb": 0.10},
        }
    }
)
NAN = np.nan
# From a to b directly takes 100 ms, through c 30 ms; from b there is no way at all.
RTT_S = [[NAN, 0.1, 0.01], [NAN, NAN, NAN], [0.01, 0.02, NAN]]
BPS = [[NAN, 1e8, 2e8], [NAN, NAN, NAN], [2e8, 4e8, NAN]]


@dataclass
class RoutesWorld:
    """A router that has decided once."""

    judged: list[tuple[datetime, datetime]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.router = Router(RoutingSettings(), MESH)
        decide_all(self.router, Snapshot.of("abc", at=NOON.timestamp(), rtt_p50_s=RTT_S, goodput_p50_bps=BPS))

    def sources(self) -> RouteSources:
        return RouteSources(
            now=NOON.timestamp,
            mesh=lambda: MESH,
            route=self.router.route,
            routes=self.router.view,
            evaluation=self._evaluation,
        )

    async def _evaluation(self, since: datetime, until: datetime) -> EvaluationAnswer:
        self.judged.append((since, until))
        return EvaluationAnswer(since=since, until=until)


@pytest.fixture
def world() -> RoutesWorld:
    return RoutesWorld()


@pytest.fixture
async def http(world: RoutesWorld) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    answer_errors(app)
    add_routes(app, world.sources())
    async with served(app) as client:
        yield client


async def test_the_answer_has_the_path_direct_beside_it_the_inputs_and_a_sentence(http: httpx.AsyncClient) -> None:
    answer = (await http.get("/api/v1/routes/a/b")).json()
    assert answer["path"]["sites"] == ["a", "c", "b"]
    assert answer["path"]["price_usd_per_gb"] == pytest.approx(0.15)
    assert (answer["direct"]["rtt_p50_s"], answer["switch_reason"]) == (0.1, "first")
    assert {(leg["src"], leg["dst"]) for leg in answer["inputs"]} == {("a", "c"), ("c", "b"), ("a", "b")}
    assert answer["why"].startswith("a → b through c: RTT 30")


async def test_sites_may_be_named_by_their_compute_id(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/v1/routes/CN-1/b")).json()["src"] == "a"
    avoided = (await http.get("/api/v1/routes/c/b", params={"avoid": "CN-1"})).json()
    assert avoided["path"]["sites"] == ["c", "b"]


@pytest.mark.parametrize(
    ("asked", "sites"),
    [
        ({"objective": "goodput"}, ["a", "c", "b"]),
        ({"objective": "completion", "bytes": 10**9}, ["a", "c", "b"]),
        ({"max_relays": 0}, ["a", "b"]),
        ({"avoid": "c"}, ["a", "b"]),
        ({"max_price_usd_per_gb": 0.1}, ["a", "b"]),
    ],
)
async def test_conditions_are_kept(http: httpx.AsyncClient, asked: dict[str, Any], sites: list[str]) -> None:
    assert (await http.get("/api/v1/routes/a/b", params=asked)).json()["path"]["sites"] == sites


@pytest.mark.parametrize("mode", ["split", "forward"])
async def test_the_answer_names_the_mode_of_relays_that_it_holds_for(http: httpx.AsyncClient, mode: str) -> None:
    asked = f"/api/v1/routes/a/b?objective=completion&bytes=1000000000&relay_mode={mode}"
    assert (await http.get(asked)).json()["relay_mode"] == mode


@pytest.mark.parametrize(
    ("path", "status", "field", "sentence"),
    [
        ("/a/x", 404, "dst", "dst = 'x': no such site; the mesh has a, b, c"),
        ("/a/b?avoid=x", 422, "avoid", "avoid = 'x': no such site; the mesh has a, b, c"),
        ("/a/a", 422, "dst", "dst: 'a' is the source too: a path joins two different sites"),
        (
            "/a/b?objective=joy",
            422,
            "objective",
            "objective = 'joy': input should be 'latency', 'goodput' or 'completion'",
        ),
        ("/a/b?objective=completion", 422, "bytes", "bytes: a completion time needs a number of bytes"),
        ("/a/b?bytes=-1", 422, "bytes", "bytes: -1: must be above 0 and at most 1e+18"),
        ("/a/b?relay_mode=copy", 422, "relay_mode", "relay_mode = 'copy': input should be 'split' or 'forward'"),
        ("/a/b?max_relays=3", 422, "max_relays", "max_relays: 3 is none of 0, 1, 2"),
        ("/a/b?max_price_usd_per_gb=nan", 422, "max_price_usd_per_gb", None),
        ("/a/b?max_price=0.01", 422, "max_price", None),
        ("/b/a", 409, None, None),
        ("?objective=completion", 422, "objective", "objective = 'completion': ask for a pair, with bytes"),
    ],
)
async def test_what_cannot_be_answered_is_one_sentence_with_its_field(
    http: httpx.AsyncClient, path: str, status: int, field: str | None, sentence: str | None
) -> None:
    answer = await http.get(f"/api/v1/routes{path}")
    assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert sentence is None or answer.json()["error"] == sentence


async def test_all_pairs_are_answered_at_once_as_they_are_one_by_one(
    http: httpx.AsyncClient, world: RoutesWorld
) -> None:
    answer = await http.get("/api/v1/routes", params={"objective": "goodput"})
    found = MeshRoutes.model_validate_json(answer.content)
    assert (found.at, found.objective, answer.headers["content-type"]) == (NOON, "goodput", "application/json")
    for one in found.routes:
        alone = world.router.route(RouteQuestion(src=one.src, dst=one.dst, objective="goodput"))
        assert isinstance(alone, RouteAnswer)
        assert one.path == PathExpectation(
            sites=alone.path.sites,
            goodput_p50_bps=alone.path.goodput_p50_bps,
            goodput_p90_bps=alone.path.goodput_p90_bps,
        )
        assert (one.since, one.switch_reason, one.gain_ratio) == (alone.since, "first", alone.gain_ratio)
    missing = [UnroutedPair(src="b", dst=dst, reason="no_contact") for dst in "ac"]
    assert list(found.no_routes) == missing


async def test_all_pairs_as_columns_point_into_the_sites(http: httpx.AsyncClient) -> None:
    answer = (await http.get("/api/v1/routes", params={"form": "columns"})).json()
    columns = answer["columns"]
    assert answer["sites"] == ["a", "b", "c"]
    assert (columns["src"], columns["dst"]) == ([0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1])
    assert columns["next_hop"] == [2, 2, None, None, 0, 1]
    assert columns["rtt_p50_s"] == pytest.approx([0.0305, 0.01, None, None, 0.01, 0.02])
    assert columns["direct_rtt_p50_s"][:2] == [0.1, 0.01]
    assert columns["reason"] == ["first", "first", "no_contact", "no_contact", "first", "first"]
    assert columns["active_s"] == [0.0, 0.0, None, None, 0.0, 0.0]


@pytest.mark.parametrize("form", ["rows", "columns"])
async def test_what_is_known_already_is_not_sent_again(http: httpx.AsyncClient, form: str) -> None:
    first = await http.get("/api/v1/routes", params={"form": form})
    known = {"If-None-Match": f'"other", {first.headers["ETag"]}'}
    again = await http.get("/api/v1/routes", params={"form": form}, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    other = await http.get("/api/v1/routes", params={"form": form, "objective": "goodput"}, headers=known)
    assert other.status_code == 200


async def test_routes_are_the_same_answer_until_the_next_decision(
    http: httpx.AsyncClient, world: RoutesWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_answers, "LASTS_S", 0.0)
    first = await http.get("/api/v1/routes")
    known = {"If-None-Match": first.headers["ETag"]}
    assert (await http.get("/api/v1/routes", headers=known)).status_code == 304
    decide_all(world.router, Snapshot.of("abc", at=NOON.timestamp() + 1, rtt_p50_s=RTT_S, goodput_p50_bps=BPS))
    assert (await http.get("/api/v1/routes", headers=known)).json()["at"] == "2026-01-31T12:00:01Z"


async def test_before_the_first_decision_there_are_no_routes(http: httpx.AsyncClient, world: RoutesWorld) -> None:
    world.router._state = None
    answer = await http.get("/api/v1/routes")
    assert (answer.status_code, answer.json()["error"]) == (503, "no route has been decided yet")


async def test_the_judge_is_asked_about_a_span_that_ends_now(http: httpx.AsyncClient, world: RoutesWorld) -> None:
    assert (await http.get("/api/v1/evaluation", params={"since": "2h"})).status_code == 200
    assert world.judged == [(NOON - timedelta(hours=2), NOON)]


@pytest.mark.parametrize("since", ["soon", "2027-01-01T00:00:00Z"])
async def test_the_judge_knows_the_past_only(http: httpx.AsyncClient, since: str) -> None:
    answer = await http.get("/api/v1/evaluation", params={"since": since})
    assert (answer.status_code, answer.json()["field"]) == (422, "since")
