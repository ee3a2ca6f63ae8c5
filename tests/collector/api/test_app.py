"""The HTTP API over real HTTP, on sources that the tests set."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest

from collector.api import cached_answers
from collector.api.access import AccessRules
from collector.api.app import AppSources, HistoryQuery, create_app
from collector.api.http_server import HttpServer
from collector.linkstate.link_answers import LinkTable
from collector.settings import ApiSettings
from linkweather.containment import faults
from linkweather.errors import OperatorError
from linkweather.mesh import Mesh
from linkweather.models.state import HistoryBucket, LinkAnswer, MeshAnswer, SiteAnswer
from tests import servers
from tests.collector.api.serving import served

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MESH = Mesh.model_validate(
    {"sites": {"a": {"address": "192.0.2.1", "compute_id": "ID-OF-A"}, "b": {"address": "192.0.2.2"}}}
)
TOML = {"Content-Type": "application/toml"}
LINK = LinkAnswer(src="a", dst="b", state="fresh", rtt_p50_s=0.02)
FLAT = {
    *("src", "dst", "state", "age_s", "method", "rtt_min_s", "rtt_p50_s", "rtt_p95_s"),
    *("loss_ratio", "jitter_s", "goodput_bps", "goodput_age_s"),
}


def table_of(links: list[LinkAnswer]) -> LinkTable:
    columns = {name: np.fromiter((getattr(link, name) for link in links), object) for name in LinkAnswer.model_fields}
    src, dst = (np.array(["ab".index(getattr(link, end)) for link in links]) for end in ("src", "dst"))
    return LinkTable(NOW.timestamp(), ("a", "b"), src, dst, columns)


LINKS = table_of([LINK, LinkAnswer(src="b", dst="a")])


@dataclass
class ApiWorld:
    """What the API finds."""

    pushed: list[str] = field(default_factory=list)
    asked: list[HistoryQuery] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)

    def sources(self) -> AppSources:
        return AppSources(
            now=NOW.timestamp,
            links=self._links,
            link_page=lambda _now, _limit, _after: (lambda: LINKS, None),
            link=lambda src, dst, _now: LINK if (src, dst) == ("a", "b") else None,
            sites=lambda _now: [SiteAnswer(site=site, address=MESH.sites[site].address) for site in MESH.sites],
            history=self._history,
            mesh=lambda: MeshAnswer(mesh=MESH, links=2),
            push_mesh=self._push,
            not_ready=lambda: self.reasons,
            metrics=self._metrics,
            degraded=lambda: self.degraded,
        )

    async def _links(self, _now: float) -> Callable[[], LinkTable]:
        return lambda: LINKS

    async def _metrics(self) -> list[bytes]:
        return [b"linkweather_test 3.0\n"]

    async def _history(self, asked: HistoryQuery) -> list[HistoryBucket]:
        self.asked.append(asked)
        if asked.metric == "rtt_max_s":
            raise RuntimeError("the disk is gone")
        return [HistoryBucket(at=asked.since, count=2, min=0.01, p50=0.02, p95=0.03, max=0.03)]

    async def _push(self, text: str) -> None:
        if "bad" in text:
            raise OperatorError("/etc/lw/mesh.toml: bad = 1: no such key")
        self.pushed.append(text)


@pytest.fixture
def world() -> ApiWorld:
    return ApiWorld()


@pytest.fixture
async def http(world: ApiWorld) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(replace(world.sources(), access=AccessRules(own_token="secret")))
    async with served(app) as client:
        client.headers["Authorization"] = "Bearer secret"
        yield client


async def error(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    found: dict[str, Any] = answer.json()
    assert set(found) == {"error", "field"}
    return found


async def test_links_are_flat_objects_with_null_for_never_measured(http: httpx.AsyncClient) -> None:
    first, second = (await http.get("/api/v1/links")).json()
    assert set(first) >= FLAT
    assert (first["rtt_p50_s"], second["state"], second["rtt_p50_s"]) == (0.02, "unknown", None)
    assert not any(isinstance(value, dict | list) for value in first.values())


async def test_links_come_as_columns_of_what_any_link_has(http: httpx.AsyncClient) -> None:
    answer = (await http.get("/api/v1/links?form=columns")).json()
    assert (answer["sites"], answer["at"]) == (["a", "b"], NOW.isoformat())
    columns = answer["columns"]
    assert (columns["src"], columns["dst"], columns["state"]) == ([0, 1], [1, 0], ["fresh", "unknown"])
    assert (columns["rtt_p50_s"], columns.get("hops", "left out")) == ([0.02, None], "left out")
    assert (await http.get("/api/v1/links?form=table")).status_code == 422


@pytest.mark.parametrize("form", ["rows", "columns"])
async def test_links_that_the_asker_has_are_not_sent_again(
    http: httpx.AsyncClient, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached_answers, "LASTS_S", 600.0)
    first = await http.get(f"/api/v1/links?form={form}")
    again = await http.get(f"/api/v1/links?form={form}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_sites_are_listed(http: httpx.AsyncClient) -> None:
    assert [site["site"] for site in (await http.get("/api/v1/sites")).json()] == ["a", "b"]


async def test_one_link(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/v1/links/a/b")).json()["rtt_p50_s"] == 0.02


@pytest.mark.parametrize("tail", ["", "/history"])
async def test_an_unknown_site_is_not_found_with_the_sites_there_are(http: httpx.AsyncClient, tail: str) -> None:
    assert await error(await http.get(f"/api/v1/links/a/x{tail}"), 404) == {
        "error": "dst = 'x': no such site; the mesh has a, b",
        "field": "dst",
    }


async def test_an_unknown_link_between_known_sites_is_not_found(http: httpx.AsyncClient) -> None:
    assert (await error(await http.get("/api/v1/links/b/a"), 404))["error"] == "the mesh has no link b → a"


async def test_history_has_defaults(http: httpx.AsyncClient, world: ApiWorld) -> None:
    answer = (await http.get("/api/v1/links/a/b/history")).json()
    hour_ago = datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert world.asked == [HistoryQuery("a", "b", "rtt_p50_s", hour_ago, NOW, 10.0)]
    assert (answer["since"], answer["step_s"], answer["metric"]) == ("2026-01-31T11:00:00Z", 10.0, "rtt_p50_s")
    assert answer["buckets"] == [
        {"at": "2026-01-31T11:00:00Z", "count": 2, "min": 0.01, "p50": 0.02, "p95": 0.03, "max": 0.03}
    ]


async def test_history_by_compute_id_is_that_of_the_site(http: httpx.AsyncClient, world: ApiWorld) -> None:
    answer = (await http.get("/api/v1/links/ID-OF-A/b/history")).json()
    assert (answer["src"], answer["dst"]) == ("a", "b")
    assert (world.asked[0].src, world.asked[0].dst) == ("a", "b")


async def test_history_takes_moments_and_steps(http: httpx.AsyncClient, world: ApiWorld) -> None:
    query = {"metric": "goodput_bps", "since": "2026-01-31T10:00:00+01:00", "until": "15m", "step": "1m"}
    assert (await http.get("/api/v1/links/a/b/history", params=query)).status_code == 200
    asked = world.asked[0]
    assert (asked.metric, asked.since.hour, asked.until.minute, asked.step_s) == ("goodput_bps", 9, 45, 60.0)


@pytest.mark.parametrize(
    ("query", "field_", "sentence"),
    [
        (
            {"since": "soon"},
            "since",
            "since = 'soon': must be a time such as 2026-01-31T12:00:00Z, or how long ago, such as 15m",
        ),
        ({"step": "0s"}, "step", "step = '0s': must be a duration longer than 0, such as 50ms, 60s or 5min"),
        (
            {"since": "15m", "until": "1h"},
            "since",
            "since = 2026-01-31T11:45:00+00:00: must be before until, 2026-01-31T11:00:00+00:00",
        ),
        ({"since": "1d", "step": "1s"}, "step", "step = 1s: too many buckets: at most 10000, so at least 8.64s"),
    ],
)
async def test_a_question_that_makes_no_sense_is_one_sentence(
    http: httpx.AsyncClient, query: dict[str, str], field_: str, sentence: str
) -> None:
    found = await error(await http.get("/api/v1/links/a/b/history", params=query), 422)
    assert found == {"error": sentence, "field": field_}


async def test_an_unknown_metric_is_refused_with_the_ones_there_are(http: httpx.AsyncClient) -> None:
    found = await error(await http.get("/api/v1/links/a/b/history", params={"metric": "speed"}), 422)
    assert found["error"].startswith("metric = 'speed': must be one of ")
    assert found["error"].endswith(", or figures.NAME of a prober's own figure")
    figure = await http.get("/api/v1/links/a/b/history", params={"metric": "figures.connect_s"})
    assert (figure.status_code, figure.json()["metric"]) == (200, "figures.connect_s")
    assert "goodput_bps" in found["error"]


async def test_what_breaks_is_told_without_its_insides_and_the_next_question_is_answered(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    found = await error(await http.get("/api/v1/links/a/b/history", params={"metric": "rtt_max_s"}), 500)
    assert found["error"] == "the collector failed (RuntimeError); its log says where"
    assert (await http.get("/healthz")).json() == {"status": "alive"}
    await http.get("/api/v1/links/a/b/history", params={"metric": "rtt_max_s"})
    assert len([record for record in caplog.records if record.exc_info]) <= 1  # the first in this process is logged
    assert faults()["api"] >= 2


def test_a_short_answer_does_not_wait_for_an_acknowledgement(world: ApiWorld) -> None:
    server = HttpServer(create_app(world.sources()), ApiSettings(port=servers.free_port()))
    # asyncio sets TCP_NODELAY on connections whose socket names its protocol, which a listener's connections inherit.
    assert server._port.proto == socket.IPPROTO_TCP
    server.close()


async def test_head_is_get_without_the_content(http: httpx.AsyncClient) -> None:
    for path in ("/api/v1/links", "/api/v1/links/a/c", "/metrics", "/openapi.json"):
        got, headed = await http.get(path), await http.head(path)
        assert (headed.status_code, headed.content) == (got.status_code, b"")
        assert headed.headers["content-type"] == got.headers["content-type"]
        assert headed.headers["content-length"] == str(len(got.content))


async def test_options_names_every_method_of_a_path(http: httpx.AsyncClient) -> None:
    answer = await http.request("OPTIONS", "/api/v1/mesh")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, PUT")
    assert (await http.delete("/api/v1/mesh")).headers["allow"] == "GET, HEAD, OPTIONS, PUT"
    assert (await http.request("OPTIONS", "/x")).status_code == 404


async def test_an_unknown_path_and_a_wrong_method_have_the_same_form(http: httpx.AsyncClient) -> None:
    assert (await error(await http.get("/x"), 404))["error"] == "GET /x: not found; see /docs"
    assert "method not allowed" in (await error(await http.delete("/api/v1/mesh"), 405))["error"]


async def test_the_mesh_is_given_and_taken(http: httpx.AsyncClient, world: ApiWorld) -> None:
    assert (await http.get("/api/v1/mesh")).json()["mesh"]["sites"]["a"]["address"] == "192.0.2.1"
    assert (await http.put("/api/v1/mesh", content="good", headers=TOML)).json()["links"] == 2
    assert world.pushed == ["good"]


@pytest.mark.parametrize("path", ["/api/v1/links", "/api/v1/sites", "/api/v1/links/a/b/history", "/metrics"])
async def test_a_parameter_that_is_given_again_is_refused(http: httpx.AsyncClient, path: str) -> None:
    found = await error(await http.get(f"{path}?form=rows&form=columns"), 422)
    assert (found["error"], found["field"]) == ("form: is given 2 times; give it once", "form")


async def test_an_invalid_mesh_is_refused_with_the_sentence_of_the_file_check(http: httpx.AsyncClient) -> None:
    found = await error(await http.put("/api/v1/mesh", content="bad = 1", headers=TOML), 422)
    assert found == {"error": "mesh.toml: bad = 1: no such key", "field": "mesh"}


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (b"\xff", 422, "the mesh is not UTF-8 text"),
        (b"#" * 4_000_001, 413, "a mesh may have at most 4000000 bytes"),
    ],
)
async def test_a_mesh_that_cannot_be_read_is_refused(
    http: httpx.AsyncClient, content: bytes, status: int, sentence: str
) -> None:
    assert (await error(await http.put("/api/v1/mesh", content=content, headers=TOML), status))["error"] == sentence


async def test_ready_says_what_is_missing(http: httpx.AsyncClient, world: ApiWorld) -> None:
    assert (await http.get("/readyz")).json() == {"ready": True, "reasons": [], "degraded": []}
    world.reasons.append("the broker is away")
    answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reasons": ["the broker is away"], "degraded": []}
    world.reasons.clear()
    world.degraded.append("sink main: away")
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["sink main: away"])


async def test_no_answer_names_a_folder(http: httpx.AsyncClient, world: ApiWorld) -> None:
    world.reasons.append("unix:///run/mqtt: no broker; the journal /var/lib/lw/journal.duckdb cannot be written")
    world.degraded.append(
        "sink main: token_file = '/etc/lw/influx.token': cannot be read; http://influx:8086/write: 401"
    )
    answer = (await http.get("/readyz")).json()
    assert answer["reasons"] == ["unix:///run/mqtt: no broker; the journal journal.duckdb cannot be written"]
    assert answer["degraded"] == [
        "sink main: token_file = 'influx.token': cannot be read; http://influx:8086/write: 401"
    ]
    found = await error(await http.put("/api/v1/mesh", content="bad in /etc/lw", headers=TOML), 422)
    assert found["error"] == "mesh.toml: bad = 1: no such key"


async def test_metrics_are_prometheus_text(http: httpx.AsyncClient) -> None:
    answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "linkweather_test 3.0" in answer.text


async def test_the_root_leads_to_documentation_that_works_offline(http: httpx.AsyncClient) -> None:
    answer = await http.get("/", follow_redirects=True)
    assert answer.url.path == "/docs"
    assert "/api/v1/links/{src}/{dst}/history" in answer.text
    assert "<script" not in answer.text


async def test_the_root_leads_to_the_page_where_there_is_one_for_that_browser(world: ApiWorld) -> None:
    sources = replace(world.sources(), page=lambda host: f"http://{host}:8420/" if host == "near" else None)
    app = create_app(replace(sources, access=AccessRules(hosts=frozenset({"near", "far"}))))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://near:1") as near:
        assert (await near.get("/")).headers["location"] == "http://near:8420/"
        assert (await near.get("http://far:1/")).headers["location"] == "/docs"


async def test_the_schema_types_every_answer(http: httpx.AsyncClient) -> None:
    schema = (await http.get("/openapi.json")).json()
    answers = schema["paths"]["/api/v1/links"]["get"]["responses"]
    assert answers["200"]["content"]["application/json"]["schema"]["anyOf"][0]["items"]["$ref"].endswith("/LinkAnswer")
    assert answers["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorAnswer")


def test_a_taken_port_is_one_sentence(world: ApiWorld) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError) as error_:
            HttpServer(create_app(world.sources()), ApiSettings(port=port))
    assert str(error_.value) == (
        f"api.port = {port}: the port is taken, perhaps by another collector: choose another with --port"
    )


def test_an_address_that_is_not_ours_is_one_sentence(world: ApiWorld) -> None:
    with pytest.raises(OperatorError, match=r"^api: cannot listen on 192.0.2.1:8484: Cannot assign requested address$"):
        HttpServer(create_app(world.sources()), ApiSettings(host="192.0.2.1"))


def test_a_host_that_does_not_exist_is_one_sentence(world: ApiWorld) -> None:
    with pytest.raises(OperatorError, match=r"^api.host = 'no.such.host.invalid': cannot be resolved: "):
        HttpServer(create_app(world.sources()), ApiSettings(host="no.such.host.invalid"))
