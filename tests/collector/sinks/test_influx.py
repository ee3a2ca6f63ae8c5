from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import httpx
import pytest

from collector.sinks import exporter as exporter_module
from collector.sinks.builtin import InfluxSettings
from collector.sinks.exporter import Exporter, trouble_of
from collector.store.journal import Journal
from linkweather.backoff import Backoff
from linkweather.broker import Broker
from linkweather.errors import OperatorError
from linkweather.settings import validate
from linkweather.sink import SinkAwayError, SinkContext, SinkError, SinkSetupError
from tests import servers
from tests.collector.samples import NOON, entry, latency, path, throughput
from tests.collector.waiting import until


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.duckdb")
    yield journal
    journal.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POLL_S", "RETRY_FIRST_S", "OPERATOR_RETRY_S"):
        monkeypatch.setattr(exporter_module, name, 0.02)


def fill(journal: Journal, seqs: Sequence[int]) -> None:
    journal.commit([entry(latency(seq, peers=("b", "c"))) for seq in seqs])


def v1(port: int, **fields: Any) -> InfluxSettings:
    return InfluxSettings(url=f"http://127.0.0.1:{port}", database="linkweather", **fields)


def v2(port: int, **fields: Any) -> InfluxSettings:
    return InfluxSettings(url=f"http://127.0.0.1:{port}", bucket="linkweather", **fields)


def ask(port: int, query: str, auth: tuple[str, str] | None = None) -> list[dict[str, Any]]:
    """InfluxQL's series, each point a list of values after its time."""
    parameters = {"db": "linkweather", "q": query, "epoch": "ns"}
    answer = httpx.get(f"http://127.0.0.1:{port}/query", params=parameters, auth=auth)
    series: list[dict[str, Any]] = answer.json()["results"][0].get("series", [])
    return series


def opened(journal: Journal, settings: InfluxSettings, name: str = "influx") -> Exporter:
    return Exporter(
        journal.database, name, settings, settings.open(SinkContext(name, Broker("mqtt", "127.0.0.1", 1883)))
    )


def said(exporter: Exporter) -> str:
    return exporter.trouble.sentence if exporter.trouble else ""


def create_user(url: str) -> None:
    httpx.post(f"{url}/query", params={"q": "CREATE USER root WITH PASSWORD 'right' WITH ALL PRIVILEGES"})


def stored(port: int) -> int:
    series = ask(port, "SELECT count(sent) FROM latency")
    return int(series[0]["values"][0][1]) if series else 0


@contextlib.asynccontextmanager
async def running(exporter: Exporter) -> Any:
    task = asyncio.create_task(exporter.run(), name="exporter")
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    exporter.close()


def test_every_kind_arrives_in_influxdb_with_tags_fields_and_times(journal: Journal, influxd_port: int) -> None:
    failed = throughput(3, goodput_bps=None, bytes=None, failure="refused")
    journal.commit([entry(latency(1)), entry(throughput(2)), entry(failed), entry(path(4, "f"))])
    exporter = opened(journal, v1(influxd_port))
    assert exporter.step()
    assert not exporter.step()
    exporter.close()
    noon_ns = int(NOON.timestamp()) * 10**9
    (found,) = ask(influxd_port, "SELECT sent, rtt_p50_s FROM latency GROUP BY src, dst, method")
    assert found["tags"] == {"src": "a", "dst": "b", "method": "stamp"}
    assert found["values"] == [[noon_ns + 10**9, 50, 0.001]]
    (tests,) = ask(influxd_port, "SELECT bytes, failure FROM throughput")
    assert tests["values"] == [[noon_ns + 2 * 10**9, 3_750_000, None], [noon_ns + 3 * 10**9, None, "refused"]]
    (traces,) = ask(influxd_port, "SELECT hops, fingerprint FROM path")
    assert traces["values"] == [[noon_ns + 4 * 10**9, 2, "f"]]
    assert (exporter.exported, exporter.backlog.set_aside.rows(), exporter.backlog.lag_rows()) == (4, 0, 0)


async def test_a_server_that_dies_in_the_middle_delays_the_export_and_loses_nothing(
    journal: Journal, tmp_path: Path
) -> None:
    port = servers.free_port()
    exporter = opened(journal, v1(port, batch_rows=7))
    async with running(exporter):
        fill(journal, range(50))
        await until(lambda: "takes no data now" in said(exporter))
        with servers.influxd(tmp_path, port):
            await until(lambda: stored(port) >= 50)
        fill(journal, range(50, 100))
        await until(lambda: "takes no data now" in said(exporter))
        with servers.influxd(tmp_path, port):
            await until(lambda: exporter.backlog.lag_rows() == 0)
            assert stored(port) == 200
    assert said(exporter) == ""


async def test_an_exporter_that_is_killed_between_write_and_cursor_doubles_nothing(
    journal: Journal, influxd_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(journal, range(20))
    first = opened(journal, v1(influxd_port, batch_rows=10))
    first.step()
    # Written, but the cursor was not moved: as if the power had failed here.
    monkeypatch.setattr(first.backlog, "advance", lambda *_: None)
    first.step()
    first.close()
    second = opened(journal, v1(influxd_port, batch_rows=10))
    assert second.backlog.lag_rows() == 30
    while second.step():
        pass
    second.close()
    assert stored(influxd_port) == 40


def test_a_point_of_the_wrong_type_is_set_aside_with_the_servers_reason_and_the_rest_goes_on(
    journal: Journal, influxd_port: int
) -> None:
    fill(journal, [1])
    exporter = opened(journal, v1(influxd_port))
    exporter.step()
    # The link a → c already has texts where the contract has numbers.
    httpx.post(
        f"http://127.0.0.1:{influxd_port}/write?db=linkweather",
        content=f'latency,src=x,dst=y,method=stamp late="text" {int(NOON.timestamp()) * 10**9}',
    )
    journal.commit([entry(latency(2)), entry(latency(3, late=1)), entry(latency(4)), entry(latency(5, late=2))])
    exporter.step()
    exporter.close()
    assert stored(influxd_port) == 4
    assert (exporter.exported, exporter.backlog.set_aside.rows(), exporter.backlog.lag_rows()) == (4, 2, 0)
    (aside,) = exporter.backlog.set_aside.latest(9)
    # The server says how many, not which.
    assert (aside.kind, aside.first, aside.last, aside.rows) == ("latency", 3, 6, 2)
    assert "field type conflict" in aside.reason
    assert opened(journal, v1(influxd_port)).backlog.set_aside.rows() == 2


def test_a_body_too_large_is_halved_until_it_passes(journal: Journal, tmp_path: Path) -> None:
    fill(journal, range(100))
    with servers.influxd(tmp_path, http="max-body-size = 2000\n") as port:
        exporter = opened(journal, v1(port))
        exporter.step()
        exporter.close()
        assert stored(port) == 200
    assert exporter.backlog.set_aside.rows() == 0


async def test_wrong_credentials_are_said_in_one_sentence_and_nothing_is_lost(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(journal, range(3))
    with servers.influxd(tmp_path, http="auth-enabled = true\n") as port:
        url = f"http://127.0.0.1:{port}"
        create_user(url)
        wrong = opened(journal, v1(port, username="root", password="wrong"))
        async with running(wrong):
            await until(lambda: bool(said(wrong)))
        assert said(wrong) == (
            f"{url} refuses our credentials: check token, token_file, username and password "
            "(401 Unauthorized: authorization failed)"
        )
        assert wrong.backlog.lag_rows() == 6
        monkeypatch.setenv("LINKWEATHER_INFLUX_PASSWORD", "right")
        right = opened(journal, v1(port, username="root"))
        async with running(right):
            await until(lambda: right.exported == 6)
        assert ask(port, "SELECT count(sent) FROM latency", ("root", "right"))[0]["values"][0][1] == 6


def victoria_count(port: int) -> int:
    httpx.get(f"http://127.0.0.1:{port}/internal/force_flush")
    answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/export", params={"match[]": "latency_sent"})
    return sum(len(json.loads(line)["values"]) for line in answer.text.splitlines())


async def test_victoriametrics_that_is_killed_in_the_middle_has_every_row_once(
    journal: Journal, tmp_path: Path
) -> None:
    port = servers.free_port()
    fill(journal, range(100))
    exporter = opened(journal, v2(port, batch_rows=20))
    async with running(exporter):
        with servers.victoria_metrics(tmp_path, port):
            await until(lambda: exporter.exported >= 20)
        fill(journal, range(100, 150))
        with servers.victoria_metrics(tmp_path, port):
            await until(lambda: exporter.backlog.lag_rows() == 0)
            assert victoria_count(port) == 300


class Scripted:
    """A server that answers as it is told: faults that no real one makes on demand."""

    def __init__(self, answer: Callable[[str], tuple[int, dict[str, str], bytes]]) -> None:
        self.bodies: list[str] = []
        self.requests: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.requests.append((self.path, self.headers["Authorization"]))
                outer.bodies.append(body)
                status, headers, text = answer(body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, name="scripted", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_bucket_is_written_with_org_and_token(journal: Journal, tmp_path: Path) -> None:
    fill(journal, [1])
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    with Scripted(lambda _: (204, {}, b"")) as server:
        exporter = opened(journal, v2(server.port, org="lab", token_file=str(secret)))
        exporter.step()
        exporter.close()
    assert server.requests == [("/api/v2/write?bucket=linkweather&org=lab&precision=ns", "Token s3cret")]


def test_a_busy_servers_retry_after_is_passed_on(journal: Journal) -> None:
    fill(journal, [1])
    with Scripted(lambda _: (429, {"Retry-After": "17"}, b'{"message":"quota"}')) as server:
        exporter = opened(journal, v2(server.port))
        with pytest.raises(SinkError) as refused:
            exporter.step()
        exporter.close()
    assert str(refused.value).endswith("takes no data now (429 Too Many Requests: quota)")
    assert trouble_of(refused.value, 1).wait_s == 17
    assert exporter.backlog.lag_rows() == 2


def test_a_single_point_that_is_too_large_is_set_aside(journal: Journal) -> None:
    fill(journal, [1])
    with Scripted(lambda body: (413 if "dst=c" in body else 204, {}, b"too large")) as server:
        exporter = opened(journal, v2(server.port))
        exporter.step()
        exporter.close()
    assert (exporter.exported, exporter.backlog.set_aside.rows()) == (1, 1)
    assert [one.reason for one in exporter.backlog.set_aside.latest(9)] == ["413 Request Entity Too Large: too large"]


def test_a_failure_while_halving_moves_no_cursor_and_sets_nothing_aside(journal: Journal) -> None:
    fill(journal, [1])
    answers = iter([(400, b"bad"), (400, b"bad"), (503, b"[1]")])

    def answer(_: str) -> tuple[int, dict[str, str], bytes]:
        status, text = next(answers)
        return status, {}, text

    with Scripted(answer) as server:
        exporter = opened(journal, v2(server.port))
        with pytest.raises(SinkError):
            exporter.step()
        exporter.close()
    assert exporter.backlog.lag_rows() == 2
    assert exporter.backlog.set_aside.rows() == 0


def test_a_long_batch_goes_by_several_posts_and_moves_no_cursor_unless_all_arrive(journal: Journal) -> None:
    """600 reports of two rows: two posts of 600 lines. One of the first two is turned away."""
    fill(journal, range(600))
    answers = iter([204, 503, 204, 204])
    with Scripted(lambda _: (next(answers), {}, b"")) as server:
        exporter = opened(journal, v2(server.port))
        with pytest.raises(SinkError):
            exporter.step()
        assert exporter.backlog.lag_rows() == 1200
        assert exporter.step()
        exporter.close()
    assert (exporter.backlog.lag_rows(), exporter.exported) == (0, 1200)
    assert [body.count("\n") + 1 for body in server.bodies] == [600] * 4
    assert sorted(server.bodies[:2]) == sorted(server.bodies[2:])


@pytest.mark.parametrize(
    ("error", "failures", "seconds"),
    [
        (SinkAwayError("why"), 1, 1.0),
        (SinkAwayError("why"), 3, 4.0),
        (SinkAwayError("why"), 99, 60.0),
        (SinkAwayError("why", 120.0), 1, 120.0),
        (SinkAwayError("why", 0.0), 5, 1.0),
        (SinkSetupError("why"), 1, 30.0),
        (SinkSetupError("why"), 7, 30.0),
        (ZeroDivisionError("why"), 1, 60.0),
    ],
)
def test_how_long_to_wait(monkeypatch: pytest.MonkeyPatch, error: Exception, failures: int, seconds: float) -> None:
    monkeypatch.setattr(exporter_module, "OPERATOR_RETRY_S", 30.0)
    backoff = Backoff(1.0, exporter_module.RETRY_MAX_S)
    backoff_s = [backoff.next_s() for _ in range(failures)][-1]
    assert trouble_of(error, backoff_s).wait_s == seconds


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"url": "influx:8086", "database": "x"}, "influx.toml: url = 'influx:8086': must be http://host:port or"),
        ({"url": "http://x:8086"}, "influx.toml: either database (InfluxDB 1.x) or bucket"),
        ({"url": "http://x:8086", "database": "x", "bucket": "x"}, "influx.toml: either database (InfluxDB 1.x) or"),
        ({"url": "http://x:8086", "bucket": "x", "batch_rows": 0}, "influx.toml: batch_rows = 0: must be at least 1"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OperatorError) as refused:
        validate(values, InfluxSettings, "influx.toml")
    assert str(refused.value).startswith(sentence)


def test_a_token_file_that_cannot_be_read_is_named(journal: Journal) -> None:
    with pytest.raises(OperatorError, match=r"^sinks\.influx\.token_file = '/absent': cannot be read$"):
        opened(journal, v2(1, token_file="/absent"))
