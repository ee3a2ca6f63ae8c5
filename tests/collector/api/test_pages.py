"""Pages of links and routes over real HTTP, and by both clients."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from collector.api import cached_answers, pages
from collector.api.app import create_app
from collector.api.http_server import HttpServer
from collector.api.route_api import add_routes
from collector.linkstate.link_answers import LinkTable
from collector.linkstate.link_states import LinkStates
from collector.linkstate.snapshot import Snapshot
from collector.routing.router import Router
from collector.settings import ApiSettings, RoutingSettings, StateSettings
from linkweather.client import AsyncClient, Client
from linkweather.mesh import Mesh
from linkweather.wire import LatencyRow
from tests import servers
from tests.collector.api.test_app import ApiWorld
from tests.collector.api.test_route_api import NOON, RoutesWorld
from tests.collector.report_samples import moment
from tests.collector.routing.deciding import decide_all

NOW = NOON.timestamp()
NAMES = ("d", "b", "a", "c")  # in the mesh's order


def mesh_of(names: tuple[str, ...]) -> Mesh:
    return Mesh.model_validate({"sites": {name: {"address": f"192.0.2.{place}"} for place, name in enumerate(names)}})


class PagedWorld:
    """The state of some links, and a router that has decided."""

    def __init__(self) -> None:
        self.states = LinkStates(mesh_of(NAMES), StateSettings())
        rows = [
            LatencyRow(src=src, dst=dst, sent=9, received=9, rtt_p50_s=ord(src) + ord(dst) / 1e3, method="stamp")
            for src, dst in itertools.permutations(NAMES, 2)
        ]
        for row in rows:
            self.states.observe(moment(NOW - 1.0), [row])
        self.routes = RoutesWorld()
        self.routes.router = Router(RoutingSettings(), mesh_of(NAMES))
        rtt_s = np.where(np.eye(4), np.nan, 0.01)
        rtt_s[1] = np.nan  # from b there is no way
        decide_all(self.routes.router, Snapshot.of(NAMES, at=NOW, rtt_p50_s=rtt_s, goodput_p50_bps=rtt_s * 1e10))

    def app(self) -> Any:
        sources = replace(
            ApiWorld().sources(),
            links=self._links,
            link_page=lambda now, limit, after: self._page(now, *self.states.page(limit, after)),
        )
        app = create_app(sources)
        add_routes(app, self.routes.sources())
        return app

    async def _links(self, now: float) -> Callable[[], LinkTable]:
        table = self.states.table(now)
        return lambda: table

    def _page(self, now: float, links: Any, last: Any) -> Any:
        table = self.states.table(now, links)
        return (lambda: table), last


@pytest.fixture
def world() -> PagedWorld:
    return PagedWorld()


@pytest.fixture
async def http(world: PagedWorld) -> AsyncIterator[httpx.AsyncClient]:
    port = servers.free_port()
    server = HttpServer(world.app(), ApiSettings(port=port))
    task = asyncio.create_task(server.run(), name="server")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client
    task.cancel()
    await asyncio.wait([task])
    server.close()


async def pages_of(http: httpx.AsyncClient, path: str, **params: Any) -> list[Any]:
    """All pages, by the header Link."""
    url = httpx.URL(path, params=params)
    found = []
    while True:
        answer = await http.get(url)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        if "next" not in answer.links:
            return found
        url = answer.request.url.join(answer.links["next"]["url"])


async def test_the_pages_of_links_are_the_whole_answer_in_the_order_of_names(http: httpx.AsyncClient) -> None:
    whole = (await http.get("/api/v1/links")).json()
    found = await pages_of(http, "/api/v1/links", limit=5)
    assert [len(page) for page in found] == [5, 5, 2]
    ages = {name for name in whole[0] if name.endswith("age_s")}
    paged, sorted_ = (
        [{name: value for name, value in link.items() if name not in ages} for link in links]
        for links in (itertools.chain(*found), sorted(whole, key=lambda link: (link["src"], link["dst"])))
    )
    assert paged == sorted_
    columns = await pages_of(http, "/api/v1/links", limit=5, form="columns")
    named = [
        [page["sites"][src], page["sites"][dst], rtt]
        for page in columns
        for src, dst, rtt in zip(*(page["columns"][name] for name in ("src", "dst", "rtt_p50_s")), strict=True)
    ]
    assert named == [[link["src"], link["dst"], link["rtt_p50_s"]] for link in sorted_]


async def test_a_site_that_comes_between_two_pages_changes_neither(http: httpx.AsyncClient, world: PagedWorld) -> None:
    first = await http.get("/api/v1/links", params={"limit": 4})
    assert first.links["next"]["url"] == "?form=rows&limit=4&cursor=b.a"
    world.states.apply_mesh(mesh_of(("aa", "c", "a")))
    second = await http.get("/api/v1/links", params={"limit": 9, "cursor": "b.a"})
    assert [(link["src"], link["dst"]) for link in second.json()] == [("c", "a"), ("c", "aa")]
    assert second.json()[0]["rtt_p50_s"] == 99.097


async def test_the_pages_of_routes_have_every_pair_once_with_a_route_or_without(http: httpx.AsyncClient) -> None:
    found = await pages_of(http, "/api/v1/routes", limit=5, objective="goodput")
    assert {page["objective"] for page in found} == {"goodput"}
    routes, missing = (
        [(pair["src"], pair["dst"]) for page in found for pair in page[name]] for name in ("routes", "no_routes")
    )
    assert routes == [pair for pair in itertools.permutations("abcd", 2) if pair[0] != "b"]
    assert missing == [("b", dst) for dst in "acd"]
    columns = await pages_of(http, "/api/v1/routes", limit=5, form="columns")
    assert [len(page["columns"]["src"]) for page in columns] == [5, 5, 2]


@pytest.mark.parametrize("path", ["/api/v1/links", "/api/v1/routes"])
async def test_who_has_a_page_is_not_sent_it_again(
    http: httpx.AsyncClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_answers, "LASTS_S", 600.0)
    asked = {"limit": "3", "cursor": "a.b"}
    first = await http.get(path, params=asked)
    again = await http.get(path, params=asked, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.links["next"]) == (304, b"", first.links["next"])
    other = await http.get(path, params={"limit": 4}, headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/links", "/api/v1/routes"])
@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"cursor": "a.b"}, "cursor"),
        ({"limit": "2", "cursor": "a"}, "cursor"),
        ({"limit": "2", "cursor": "a.B"}, "cursor"),
        ({"limit": "2", "cursor": ""}, "cursor"),
    ],
)
async def test_a_page_that_cannot_be_is_refused(
    http: httpx.AsyncClient, path: str, params: dict[str, str], field: str
) -> None:
    answer = await http.get(path, params=params)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_few_pages_are_kept(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGES_KEPT", 2)
    tags = [(await http.get("/api/v1/routes", params={"limit": limit})).headers["etag"] for limit in (1, 2, 1, 3, 1, 2)]
    assert tags[0] == tags[2] == tags[4]
    assert tags[1] != tags[5]


async def test_both_clients_follow_the_pages(http: httpx.AsyncClient) -> None:
    api = str(http.base_url)

    def asked() -> tuple[list[int], list[int]]:
        with Client(api) as client:
            assert [(link.src, link.dst) for link in client.links(limit=2)] == [("a", "b"), ("a", "c")]
            routes = [len(page.routes) + len(page.no_routes) for page in client.route_pages("goodput", limit=7)]
            return [len(page) for page in client.link_pages(limit=6)], routes

    assert await asyncio.to_thread(asked) == ([6, 6], [7, 5])
    async with AsyncClient(api) as client:
        assert [len(page) async for page in client.link_pages()] == [12]
        assert [len(page.routes) async for page in client.route_pages(limit=12)] == [9]
