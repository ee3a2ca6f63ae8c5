"""ALTO over real HTTP, as a client that knows nothing but the directory's address."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from collector.alto import alto_api as routes
from collector.alto import resources
from collector.alto.alto_api import add_alto
from collector.api.access import AccessRules
from collector.api.app import create_app
from collector.api.http_server import HttpServer
from collector.settings import ApiSettings
from linkweather.containment import overflows
from tests import servers
from tests.collector.alto import schemas
from tests.collector.alto.worlds import NUM_RTT, NUM_TPUT, ORD_TPUT, PATH_VECTOR, AltoWorld
from tests.collector.api.serving import served
from tests.collector.api.test_app import ApiWorld
from tests.waiting import until

COSTS = {"cost-type": NUM_RTT}
ENDPOINTS = {"srcs": ["ipv4:10.1.0.9"], "dsts": ["ipv4:10.1.200.9", "ipv4:192.0.2.7"]}
# resource → a question to it, and the form of its answer.
QUESTIONS: dict[str, tuple[dict[str, Any], schemas.Check]] = {
    "filtered-network-map": ({"pids": ["bj"]}, schemas.network_map),
    "filtered-cost-map": ({**COSTS, "constraints": ["le 50000"]}, schemas.cost_map),
    "endpoint-cost": ({**COSTS, "endpoints": ENDPOINTS}, schemas.endpoint_cost),
    "endpoint-property": (
        {"properties": ["default-network-map.pid"], "endpoints": ENDPOINTS["dsts"]},
        schemas.endpoint_prop,
    ),
    "filtered-property-map": ({"entities": ["ipv4:10.1.0.9"]}, schemas.property_map),
}
WHOLE = {"default-network-map": schemas.network_map, "property-map": schemas.property_map}


def application(world: AltoWorld) -> FastAPI:
    known_as = AccessRules(hosts=frozenset({"alto.example.com", "x"}))
    app = create_app(replace(ApiWorld().sources(), access=known_as))
    add_alto(app, world.sources(), poll_s=0.02, keep_alive_s=0.1)
    return app


@pytest.fixture
def world() -> AltoWorld:
    return AltoWorld()


@pytest.fixture
async def http(world: AltoWorld) -> AsyncIterator[httpx.AsyncClient]:
    async with served(application(world)) as client:
        yield client


async def directory(http: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get("/alto")).json()
    return found


async def ask(http: httpx.AsyncClient, name: str, question: Any, **headers: str) -> httpx.Response:
    """A POST to the resource, as the directory says."""
    entry = (await directory(http))["resources"][name]
    body = question if isinstance(question, bytes) else json.dumps(question).encode()
    return await http.post(entry["uri"], content=body, headers={"Content-Type": entry["accepts"], **headers})


def mistaken(answer: httpx.Response) -> dict[str, Any]:
    """The meta of an ALTO error."""
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/alto-error+json"
    schemas.error(answer.json())
    found: dict[str, Any] = answer.json()["meta"]
    return found


@pytest.mark.parametrize("path", ["/alto", "/alto/directory"])
async def test_the_directory_has_its_exact_type_and_form(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.headers["Content-Type"] == "application/alto-directory+json"
    schemas.directory(answer.json())


async def test_the_directory_names_only_what_it_defines(http: httpx.AsyncClient) -> None:
    found = await directory(http)
    cost_types = found["meta"]["cost-types"]
    assert found["meta"]["default-alto-network-map"] in found["resources"]
    for name, kind in cost_types.items():
        (schemas.path_type if name == "path-vector" else schemas.scalar_type)(kind)
    for entry in found["resources"].values():
        capabilities = entry.get("capabilities", {})
        assert set(capabilities.get("cost-type-names", ())) <= set(cost_types)
        assert set(capabilities.get("testable-cost-type-names", ())) <= set(capabilities.get("cost-type-names", ()))
        assert set(entry.get("uses", ())) <= set(found["resources"])
    metrics = {kind["cost-metric"] for kind in cost_types.values()}
    assert metrics >= {
        "routingcost",
        "delay-rt",
        "delay-ow",
        "delay-variation",
        "lossrate",
        "hopcount",
        "tput",
        "ane-path",
    }


async def test_no_two_cost_maps_are_of_the_same_type(http: httpx.AsyncClient) -> None:
    maps = [
        tuple(entry["capabilities"]["cost-type-names"])
        for entry in (await directory(http))["resources"].values()
        if entry["media-type"] == "application/alto-costmap+json" and "accepts" not in entry
    ]
    assert len(set(maps)) == len(maps)
    assert all(len(names) == 1 for names in maps)


async def test_endpoint_cost_does_not_say_that_it_uses_a_map(http: httpx.AsyncClient) -> None:
    assert "uses" not in (await directory(http))["resources"]["endpoint-cost"]


async def test_uris_are_those_of_the_name_that_the_client_calls_us_by(http: httpx.AsyncClient) -> None:
    found = (await http.get("/alto", headers={"Host": "alto.example.com"})).json()
    assert found["resources"]["default-network-map"]["uri"] == "http://alto.example.com/alto/networkmap"


async def test_every_resource_of_get_answers_with_the_type_that_the_directory_says(http: httpx.AsyncClient) -> None:
    entries = {name: e for name, e in (await directory(http))["resources"].items() if "accepts" not in e}
    assert len(entries) > 20
    for name, entry in entries.items():
        answer = await http.get(entry["uri"], headers={"Accept": f"{entry['media-type']},application/alto-error+json"})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, entry["media-type"])
        WHOLE.get(name, schemas.cost_map)(answer.json())


@pytest.mark.parametrize("name", QUESTIONS)
async def test_every_resource_of_post_answers_with_its_exact_type_and_form(http: httpx.AsyncClient, name: str) -> None:
    question, form = QUESTIONS[name]
    answer = await ask(http, name, question)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == resources.RESOURCES[name].media
    form(answer.json())


def test_no_resource_goes_unasked() -> None:
    asked = {name for name, resource in resources.RESOURCES.items() if resource.method == "POST"}
    assert asked == set(QUESTIONS) | {"path-vector", "endpoint-path-vector"}


async def test_dependent_tags_are_the_network_maps(http: httpx.AsyncClient) -> None:
    network = (await http.get("/alto/networkmap")).json()["meta"]["vtag"]
    costs = (await http.get("/alto/costmap/numerical/delay-rt:p95")).json()
    assert costs["meta"]["dependent-vtags"] == [network]
    assert costs["cost-map"]["bj"] == {"bj": 0, "gz": 80_000}


async def test_without_a_source_the_cost_is_from_who_asks(http: httpx.AsyncClient, world: AltoWorld) -> None:
    sites = {
        name: site.model_copy(update={"prefixes": ("127.0.0.0/8",)} if name == "bj" else {})
        for name, site in world.mesh.sites.items()
    }
    world.mesh = world.mesh.model_copy(update={"sites": sites})
    answer = await ask(http, "endpoint-cost", {**COSTS, "endpoints": {"dsts": ["ipv4:10.1.200.9"]}})
    assert answer.json()["endpoint-cost-map"] == {"ipv4:127.0.0.1": {"ipv4:10.1.200.9": 40_000}}


async def test_several_costs_at_once(http: httpx.AsyncClient) -> None:
    question = {"multi-cost-types": [NUM_TPUT, ORD_TPUT], "pids": {"srcs": [], "dsts": ["cc"]}}
    found = (await ask(http, "filtered-cost-map", question)).json()
    assert found["cost-map"] == {"gz": {"cc": [5e8, 1]}}


async def test_a_path_vector_is_a_multipart_of_paths_and_properties(http: httpx.AsyncClient) -> None:
    question = {
        "cost-type": PATH_VECTOR,
        "pids": {"srcs": ["bj"], "dsts": ["cc"]},
        "ane-property-names": ["max-reservable-bandwidth"],
    }
    accepted = "multipart/related;type=application/alto-costmap+json,application/alto-error+json"
    answer = await ask(http, "path-vector", question, Accept=accepted)
    kind = answer.headers["Content-Type"]
    assert kind.startswith("multipart/related; boundary=")
    assert kind.endswith("; type=application/alto-costmap+json")
    (_, _, costs), (_, _, properties) = schemas.parts(kind, answer.content)
    schemas.path_vector(costs)
    schemas.path_properties(properties)
    assert costs["cost-map"] == {"bj": {"cc": ["bj_gz", "gz_cc"]}}
    assert properties["property-map"][".ane:bj_gz"] == {"max-reservable-bandwidth": 8e8}


async def test_a_path_vector_between_endpoints(http: httpx.AsyncClient) -> None:
    answer = await ask(http, "endpoint-path-vector", {"cost-type": PATH_VECTOR, "endpoint-flows": [ENDPOINTS]})
    assert answer.headers["Content-Type"].endswith("; type=application/alto-endpointcost+json")
    assert b'{"ipv4:10.1.0.9": {"ipv4:10.1.200.9": ["bj_gz"], "ipv4:192.0.2.7": ["bj_gz", "gz_cc"]}}' in answer.content


async def test_a_part_is_named_by_our_host_and_by_localhost_where_that_is_no_domain(http: httpx.AsyncClient) -> None:
    named = await ask(http, "path-vector", {"cost-type": PATH_VECTOR}, Host="alto.example.com")
    assert b"Content-ID: <costmap@alto.example.com>" in named.content
    numbered = await ask(http, "path-vector", {"cost-type": PATH_VECTOR}, Host="[::1]:8484")
    assert b"Content-ID: <costmap@localhost>" in numbered.content


async def test_what_is_no_json_is_a_syntax_error(http: httpx.AsyncClient) -> None:
    found = mistaken(await ask(http, "filtered-cost-map", b"{"))
    assert found["code"] == "E_SYNTAX"
    assert "line 1" in found["syntax-error"]


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ({}, {"code": "E_MISSING_FIELD", "field": "cost-type"}),
        ({"cost-type": 1}, {"code": "E_INVALID_FIELD_TYPE", "field": "cost-type"}),
        (
            {"cost-type": {**NUM_RTT, "cost-mode": "foo"}},
            {"code": "E_INVALID_FIELD_VALUE", "field": "cost-type/cost-mode", "value": "foo"},
        ),
    ],
)
async def test_a_wrong_question_is_an_alto_error(
    http: httpx.AsyncClient, question: dict[str, Any], error: dict[str, Any]
) -> None:
    assert mistaken(await ask(http, "filtered-cost-map", question)) == error


async def test_what_the_accept_header_excludes_is_not_sent(http: httpx.AsyncClient) -> None:
    assert (await http.get("/alto", headers={"Accept": "text/html"})).status_code == 406
    assert (await http.get("/alto/networkmap", headers={"Accept": "application/alto-costmap+json"})).status_code == 406
    refused = await ask(http, "filtered-network-map", {"pids": []}, Accept="application/alto-error+json")
    assert refused.status_code == 406


async def test_a_request_without_an_accept_header_is_answered(http: httpx.AsyncClient) -> None:
    host, port = http.base_url.host, http.base_url.port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /alto/networkmap HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    raw = await reader.read()
    writer.close()
    assert raw.startswith(b"HTTP/1.1 200")
    assert b"content-type: application/alto-networkmap+json\r\n" in raw


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/alto-networkmapfilter+json"])
async def test_parameters_of_another_type_are_refused(http: httpx.AsyncClient, kind: str) -> None:
    answer = await ask(http, "filtered-cost-map", COSTS, **{"Content-Type": kind})
    assert answer.status_code == 415
    assert "application/alto-costmapfilter+json" in answer.json()["error"]


async def test_parameters_with_a_charset_are_taken(http: httpx.AsyncClient) -> None:
    kind = "application/alto-costmapfilter+json; charset=utf-8"
    assert (await ask(http, "filtered-cost-map", COSTS, **{"Content-Type": kind})).status_code == 200


async def test_a_body_without_end_is_refused(http: httpx.AsyncClient) -> None:
    answer = await ask(http, "filtered-cost-map", b" " * (routes.BODY_BYTES_MAX + 1))
    assert answer.status_code == 413
    assert "at most 1000000 bytes" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/alto/nothing", 404),
        ("GET", "/alto/costmap/numerical/mood", 404),
        ("GET", "/alto/costmap/filtered", 405),
        ("POST", "/alto/networkmap", 405),
        ("POST", "/alto/updates/unknown", 404),
    ],
)
async def test_what_is_not_there_is_said_in_the_apis_form(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "field"}


# Update streams

PARAMS = {"Content-Type": "application/alto-updatestreamparams+json"}


class Listener:
    """Reads an update stream's events: (type, document), and comments as (":", None)."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def event(self) -> tuple[str, Any]:
        block: list[str] = []
        while True:
            line = await anext(self._lines)
            if line:
                block.append(line)
            elif block:
                break
        if block[0].startswith(":"):
            return ":", None
        return block[0].removeprefix("event: "), json.loads(block[1].removeprefix("data: "))

    async def document_event(self) -> tuple[str, Any]:
        """The next event that is not a comment."""
        while (found := await self.event())[0] == ":":
            pass
        return found


@asynccontextmanager
async def following(http: httpx.AsyncClient, **add: str) -> AsyncIterator[Listener]:
    question = {"add": {name: {"resource-id": resource} for name, resource in add.items()}}
    content = json.dumps(question).encode()
    async with http.stream("POST", "/alto/updates", content=content, headers=PARAMS, timeout=90) as answer:
        yield Listener(answer)


async def test_a_stream_begins_with_its_control_uri_and_the_documents(http: httpx.AsyncClient) -> None:
    async with following(http, costs="cost-map-num-delay-rt", network="default-network-map") as listener:
        assert listener.answer.headers["Content-Type"] == "text/event-stream"
        kind, control = await listener.document_event()
        assert kind == "application/alto-updatestreamcontrol+json"
        assert control["control-uri"].startswith(f"{http.base_url}/alto/updates/")
        kind, network = await listener.document_event()
        assert kind == "application/alto-networkmap+json,network"
        schemas.network_map(network)
        kind, costs = await listener.document_event()
        assert kind == "application/alto-costmap+json,costs"
        schemas.cost_map(costs)


async def test_a_change_is_told_and_silence_is_filled_with_comments(http: httpx.AsyncClient, world: AltoWorld) -> None:
    async with following(http, costs="cost-map-num-delay-rt") as listener:
        for _ in range(2):
            await listener.document_event()
        assert await listener.event() == (":", None)
        world.change("bj", "gz", rtt_p50_s=0.050)
        kind, patch = await listener.document_event()
        assert kind == "application/merge-patch+json,costs"
        assert patch["cost-map"] == {"bj": {"gz": 50_000}}


async def test_control_adds_and_removes_and_the_last_removal_ends_the_stream(http: httpx.AsyncClient) -> None:
    async with following(http, costs="cost-map-num-tput") as listener:
        control = (await listener.document_event())[1]["control-uri"]
        await listener.document_event()
        add = {"add": {"network": {"resource-id": "default-network-map"}}, "remove": ["costs"]}
        answer = await http.post(control, json=add, headers=PARAMS)
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await listener.document_event())[1] == {"stopped": ["costs"]}
        assert (await listener.document_event())[1] == {"started": ["network"]}
        assert (await listener.document_event())[0] == "application/alto-networkmap+json,network"
        assert mistaken(await http.post(control, json={"remove": ["costs"]}, headers=PARAMS))["value"] == "costs"
        assert (await http.post(control, json={"remove": []}, headers=PARAMS)).status_code == 204
        assert (await listener.document_event())[1] == {"stopped": ["network"]}
        with pytest.raises(StopAsyncIteration):
            await listener.event()
    assert (await http.post(control, json={"remove": []}, headers=PARAMS)).status_code == 404


async def test_a_stream_of_nothing_is_an_alto_error(http: httpx.AsyncClient) -> None:
    assert mistaken(await http.post("/alto/updates", json={"add": {}}, headers=PARAMS))["field"] == "add"
    unknown = {"add": {"a": {"resource-id": "b"}}}
    assert mistaken(await http.post("/alto/updates", json=unknown, headers=PARAMS)) == {
        "code": "E_INVALID_FIELD_VALUE",
        "field": "add/a/resource-id",
        "value": "b",
    }


async def test_a_client_that_leaves_ends_its_stream(http: httpx.AsyncClient) -> None:
    async with following(http, network="default-network-map") as listener:
        control = (await listener.document_event())[1]["control-uri"]
    async with asyncio.timeout(90):
        while await status(http, control) != 404:  # noqa: ASYNC110 – what is asked is another process's, by HTTP
            await asyncio.sleep(0.01)


async def status(http: httpx.AsyncClient, control: str) -> int:
    return (await http.post(control, json={"remove": ["x"]}, headers=PARAMS)).status_code


async def test_streams_are_bounded_and_counted(
    http: httpx.AsyncClient, world: AltoWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "STREAMS_MAX", 1)
    before = overflows().get("alto update streams", 0)
    async with following(http, network="default-network-map") as first:
        await first.document_event()
        async with following(http, network="default-network-map") as second:
            assert second.answer.status_code == 503
            assert second.answer.headers["Retry-After"] == "60"
    assert overflows()["alto update streams"] == before + 1
    await until(lambda: world.stream_counts == [1, 0])


async def test_streams_end_once_the_collector_stops(http: httpx.AsyncClient, world: AltoWorld) -> None:
    async with following(http, network="default-network-map") as listener:
        await listener.document_event()
        await listener.document_event()
        world.stopping = True
        with pytest.raises(StopAsyncIteration):
            await listener.document_event()


async def test_a_server_that_ends_does_not_wait_for_its_streams(world: AltoWorld) -> None:
    port = servers.free_port()
    server = HttpServer(application(world), ApiSettings(port=port))
    task = asyncio.create_task(server.run(), name="server")
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        following(client, network="default-network-map") as listener,
    ):
        await listener.document_event()
        task.cancel()
        async with asyncio.timeout(90):
            await asyncio.wait([task])
    server.close()
    assert task.done()


async def test_the_requester_of_a_unix_socket_is_this_machine() -> None:
    request = Request({"type": "http", "client": None, "headers": []})
    assert routes._requester(request) == "ipv4:127.0.0.1"


def test_streams_that_look_at_about_the_same_time_share_what_they_see(world: AltoWorld) -> None:
    world.step = 0.0
    server = routes._AltoService(world.sources(), poll_s=1.0, keep_alive_s=1.0)
    seen = server._shared_view()
    world.now += 0.4
    assert server._shared_view() is seen
    world.now += 0.2
    later = server._shared_view()
    assert later is not seen
    world.now -= 10  # a clock that was set back
    assert server._shared_view() is not later
