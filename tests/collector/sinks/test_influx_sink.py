from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.sinks.builtin import InfluxSettings
from collector.store.journal import Journal
from linkweather.errors import OperatorError
from linkweather.settings import validate
from tests import servers
from tests.collector.report_samples import NOON, entry, latency, path, throughput
from tests.collector.sinks.exporting import fill, opened, running, said, v1, v2
from tests.waiting import until


def ask(port: int, query: str, auth: tuple[str, str] | None = None) -> list[dict[str, Any]]:
    """InfluxQL's series, each point a list of values after its time."""
    parameters = {"db": "linkweather", "q": query, "epoch": "ns"}
    answer = httpx.get(f"http://127.0.0.1:{port}/query", params=parameters, auth=auth)
    series: list[dict[str, Any]] = answer.json()["results"][0].get("series", [])
    return series


def create_user(url: str) -> None:
    httpx.post(f"{url}/query", params={"q": "CREATE USER root WITH PASSWORD 'right' WITH ALL PRIVILEGES"})


def at_us(point: list[Any]) -> list[Any]:
    """The point with its time in microseconds, as rows have it."""
    return [point[0] // 1000, *point[1:]]


def stored(port: int) -> int:
    series = ask(port, "SELECT count(sent) FROM latency")
    return int(series[0]["values"][0][1]) if series else 0


def test_every_kind_arrives_in_influxdb_with_tags_fields_and_times(journal: Journal, influxd_port: int) -> None:
    failed = throughput(3, goodput_bps=None, bytes=None, failure="refused")
    journal.commit([entry(latency(1)), entry(throughput(2)), entry(failed), entry(path(4, "f"))])
    exporter = opened(journal, v1(influxd_port))
    assert exporter.step()
    assert not exporter.step()
    exporter.close()
    noon_us = int(NOON.timestamp()) * 10**6
    (found,) = ask(influxd_port, "SELECT sent, rtt_p50_s FROM latency GROUP BY src, dst, method")
    assert found["tags"] == {"src": "a", "dst": "b", "method": "stamp"}
    assert list(map(at_us, found["values"])) == [[noon_us + 10**6, 50, 0.001]]
    (tests,) = ask(influxd_port, "SELECT bytes, failure FROM throughput")
    assert list(map(at_us, tests["values"])) == [
        [noon_us + 2 * 10**6, 3_750_000, None],
        [noon_us + 3 * 10**6, None, "refused"],
    ]
    (traces,) = ask(influxd_port, "SELECT hops, fingerprint FROM path")
    assert list(map(at_us, traces["values"])) == [[noon_us + 4 * 10**6, 2, "f"]]
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


def test_reports_of_one_moment_are_a_point_each_and_stay_so_when_they_are_written_again(
    journal: Journal, influxd_port: int
) -> None:
    """A clock that was set back by an interval, and a second probe under the same id."""
    for boot, seq in [("boot-1", 1), ("boot-1", 2), ("boot-2", 1)]:
        moved = latency(seq).model_copy(update={"boot": boot, "at": NOON})
        journal.commit([entry(moved)])
    for name in ("influx", "again"):
        exporter = opened(journal, v1(influxd_port), name)
        exporter.step()
        exporter.close()
        assert stored(influxd_port) == 3


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
        opened(journal, v2(1, token_file=Path("/absent")))
