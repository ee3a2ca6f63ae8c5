"""The API's client against a server that answers as the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import linkweather
from linkweather.client import AsyncClient, Client, as_json
from linkweather.errors import CollectorUnavailableError, NoPathError, NotFoundError, OperatorError
from linkweather.models.placements import Job
from linkweather.models.state import LinkAnswer
from tests import servers


class Peer(ThreadingHTTPServer):
    """Answers everything with one status and body, and keeps what it was asked."""

    status = 200
    body = "[]"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str, str]] = []
        self.authorization: str | None = None


class _Handler(BaseHTTPRequestHandler):
    server: Peer

    def do_GET(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.asked.append((self.command, self.path, text))
        self.server.authorization = self.headers["Authorization"]
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.body.encode())

    do_PUT = do_POST = do_GET  # noqa: N815 – http.server's names for it

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(peer: Peer) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{peer.server_port}") as found:
        yield found


def test_links_are_typed(peer: Peer, client: Client) -> None:
    peer.body = json.dumps([{"src": "a", "dst": "b", "state": "fresh", "rtt_p50_s": 0.02, "new_in_a_later_version": 1}])
    assert client.links() == [LinkAnswer(src="a", dst="b", state="fresh", rtt_p50_s=0.02)]


def test_one_link_and_its_history_are_asked_by_its_ends(peer: Peer, client: Client) -> None:
    peer.body = '{"src": "a", "dst": "b"}'
    assert client.link("a", "b").state == "unknown"
    bucket = '{"at": "2026-01-31T11:30:00Z", "count": 2, "min": 0.1, "p50": 0.2, "p95": 0.3, "max": 0.3}'
    peer.body = (
        '{"src": "a", "dst": "b", "metric": "rtt_p50_s", "step_s": 60.0, "since": "2026-01-31T11:00:00Z", '
        f'"until": "2026-01-31T12:00:00Z", "buckets": [{bucket}]}}'
    )
    assert client.history("a", "b", "rtt_p50_s", since="1h", step="1m").buckets[0].p50 == 0.2
    assert [path for _, path, _ in peer.asked] == [
        "/api/v1/links/a/b",
        "/api/v1/links/a/b/history?metric=rtt_p50_s&since=1h&step=1m",
    ]


def test_sites_are_typed(peer: Peer, client: Client) -> None:
    peer.body = '[{"site": "a", "address": "192.0.2.1", "state": "online", "status_at": "2026-01-31T11:00:00Z"}]'
    assert client.sites()[0].state == "online"


def test_a_mesh_is_pushed_as_text_with_the_token(peer: Peer) -> None:
    peer.body = '{"mesh": {"sites": {"a": {"address": "192.0.2.1"}}}, "links": 0}'
    with Client(f"http://127.0.0.1:{peer.server_port}", token="secret") as client:
        assert client.push_mesh("the text").links == 0
        assert list(client.mesh().mesh.sites) == ["a"]
    assert peer.asked[0] == ("PUT", "/api/v1/mesh", "the text")
    assert peer.authorization == "Bearer secret"


@pytest.mark.parametrize(("status", "kind"), [(404, NotFoundError), (422, OperatorError), (403, OperatorError)])
def test_a_refusal_is_the_collector_s_own_sentence(
    peer: Peer, client: Client, status: int, kind: type[Exception]
) -> None:
    peer.status, peer.body = status, '{"error": "no, since", "field": null}'
    with pytest.raises(kind, match=r"^no, since$"):
        client.link("a", "x")


@pytest.mark.parametrize(("status", "body"), [(200, "<html>"), (200, '[{"src": 1}]'), (404, "<html>")])
def test_something_else_at_the_address_is_said(peer: Peer, client: Client, status: int, body: str) -> None:
    peer.status, peer.body = status, body
    with pytest.raises(
        CollectorUnavailableError, match=r"^what answers at http://127.0.0.1:\d+ is no linkweather collector$"
    ):
        client.links()


def test_a_collector_that_fails_is_said(peer: Peer, client: Client) -> None:
    peer.status = 500
    with pytest.raises(CollectorUnavailableError, match=r"^the collector at http://\S+ failed with HTTP status 500$"):
        client.links()


def test_a_collector_that_is_away_is_one_sentence() -> None:
    with (
        Client(f"http://127.0.0.1:{servers.free_port()}") as client,
        pytest.raises(
            CollectorUnavailableError, match=r"^the collector at http://127.0.0.1:\d+ does not answer \(.*refused\)$"
        ),
    ):
        client.links()


@pytest.mark.parametrize("api", ["127.0.0.1:8484", "ftp://host", "http://", "", "http://[::1", "http://host:port"])
def test_an_address_that_cannot_be_is_one_sentence(api: str) -> None:
    with pytest.raises(OperatorError) as error:
        Client(api)
    assert str(error.value) == f"api = {api!r}: must be http://host[:port], https://host[:port] or unix:///path"


def test_answers_are_plain_json_again() -> None:
    link = LinkAnswer(src="a", dst="b")
    assert as_json([link]) == [as_json(link)]
    assert as_json(link)["rtt_p50_s"] is None


def test_a_pair_without_a_usable_path_raises_no_path(client: Client, peer: Peer) -> None:
    peer.status, peer.body = 409, '{"error":"a → b: no path can be used now"}'
    with pytest.raises(NoPathError, match="no path can be used now"):
        client.route("a", "b")


def test_a_route_is_asked_with_what_was_given_and_nothing_else(client: Client, peer: Peer) -> None:
    peer.body = (
        '{"src":"a","dst":"b","objective":"completion","at":"2026-01-31T12:00:00Z",'
        '"path":{"sites":["a","c","b"]},"why":"it is so"}'
    )
    found = client.route("a", "b", objective="completion", bytes=10, avoid=["d", "e"])
    assert (found.relays, found.why) == (("c",), "it is so")
    assert peer.asked[-1][1] == "/api/v1/routes/a/b?objective=completion&bytes=10&avoid=d&avoid=e"


def test_a_name_with_a_slash_stays_one_name(client: Client, peer: Peer) -> None:
    peer.body = "{}"
    with pytest.raises(CollectorUnavailableError):
        client.link("a/b?c", "d")
    assert peer.asked[-1][1] == "/api/v1/links/a%2Fb%3Fc/d"


async def test_the_asynchronous_client_asks_the_same_questions(peer: Peer) -> None:
    asked = ["links", "sites", "mesh", "routes"]
    async with AsyncClient(f"http://127.0.0.1:{peer.server_port}") as client:
        for name in asked[:2]:
            assert await getattr(client, name)() == []
        peer.status, peer.body = 404, '{"error":"no such site"}'
        for call in (
            client.link("a", "b"),
            client.history("a", "b", "rtt_p50_s"),
            client.route("a", "b"),
            client.routes(),
            client.mesh(),
            client.push_mesh("text"),
        ):
            with pytest.raises(NotFoundError, match="no such site"):
                await call
    with Client(f"http://127.0.0.1:{peer.server_port}") as client_:
        before, peer.asked[:] = list(peer.asked), []
        peer.status, peer.body = 200, "[]"
        for name in asked[:2]:
            getattr(client_, name)()
        peer.status, peer.body = 404, '{"error":"no such site"}'
        for ask in (
            lambda: client_.link("a", "b"),
            lambda: client_.history("a", "b", "rtt_p50_s"),
            lambda: client_.route("a", "b"),
            client_.routes,
            client_.mesh,
            lambda: client_.push_mesh("text"),
        ):
            with pytest.raises(NotFoundError):
                ask()
    assert peer.asked == before


async def test_the_asynchronous_client_says_when_nobody_answers() -> None:
    async with AsyncClient(f"http://127.0.0.1:{servers.free_port()}") as client:
        with pytest.raises(CollectorUnavailableError, match="does not answer"):
            await client.links()


def test_both_clients_stand_in_the_package_itself() -> None:
    assert (linkweather.Client, linkweather.AsyncClient) == (Client, AsyncClient)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        linkweather.Nothing  # noqa: B018 – the asking is the test


JOB = Job.model_validate(
    {"data": [{"site": "a", "bytes": 1}], "devices": [{"type": "gpu", "count": 1, "work_device_hours": 1.0}]}
)
ASKED = '{"name":"job","data":[{"site":"a","bytes":1}],"devices":[{"type":"gpu","count":1,"work_device_hours":1.0}]}'
NOWHERE = '{"job": "job", "at": "2026-11-01T12:00:00Z", "why": "No site can."}'


def test_a_job_is_sent_as_it_is_and_its_placement_read(peer: Peer, client: Client) -> None:
    peer.body = NOWHERE
    assert client.place(JOB).site is None
    assert peer.asked == [("POST", "/api/v1/placements", ASKED)]


async def test_jobs_are_placed_together_and_capacities_listed_by_both_clients(peer: Peer, client: Client) -> None:
    async with AsyncClient(f"http://127.0.0.1:{peer.server_port}") as other:
        assert client.capacity() == await other.capacity() == []
        peer.body = NOWHERE
        assert (await other.place(JOB)).why == "No site can."
        figures = '"unplaced": 1, "total_p50_s": 0, "first_come_unplaced": 1, "first_come_total_p50_s": 0, "why": "So."'
        peer.body = f'{{"at": "2026-11-01T12:00:00Z", "placements": [{NOWHERE}], {figures}}}'
        assert client.place_together([JOB]) == await other.place_together([JOB])
    assert peer.asked[-1] == ("POST", "/api/v1/placements", f'{{"jobs":[{ASKED}]}}')


@pytest.mark.parametrize("token", ["schlüssel", "two\nlines"])
async def test_what_can_be_no_token_is_refused_before_it_is_sent(token: str) -> None:
    async with AsyncClient() as client:
        with pytest.raises(OperatorError, match="token: must be printable ASCII"):
            client.on_behalf_of("192.0.2.7", token)
