"""The dashboards of config/grafana: every query of every panel finds data in a real server that has ours."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # apprise brings it

from collector.settings import CollectorSettings
from collector.store.journal import Journal
from linkweather.sink import SinkSettings
from linkweather.wire import (
    Hop,
    LatencyReport,
    LatencyRow,
    PathReport,
    PathRow,
    Status,
    ThroughputReport,
    ThroughputRow,
    encode,
    topics,
)
from tests import servers
from tests.collector.report_samples import entry
from tests.collector.running_collector import running, settings, site
from tests.collector.sinks.exporting import opened, v1, v2
from tests.documents import ROOT, read

__all__ = ["settings", "site"]

DASHBOARDS = {path.stem: path for path in sorted((ROOT / "config/grafana/dashboards").glob("*.json"))}
PANELS = {"influxdb": 11, "prometheus": 12, "victoriametrics": 10}
AB: Mapping[str, Any] = {"src": "a", "dst": "b"}
# What Grafana puts in the place of its variables; "All" is what ours have for all.
VARIABLES = {
    "$timeFilter": "time >= now() - 1h",
    "$__interval": "10s",
    "$__rate_interval": "10s",
    "$src": ".*",
    "$dst": ".*",
}


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """A query, and whose: a panel's, or a variable's."""

    owner: str
    text: str


def dashboard(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARDS[name].read_text("utf-8"))
    return found


def queries(name: str) -> list[PanelQuery]:
    """The queries of all panels, as a data source would get them."""
    return [
        PanelQuery(panel["title"], _filled(target.get("expr") or target["query"]))
        for panel in dashboard(name)["panels"]
        for target in panel["targets"]
    ]


def _filled(text: str) -> str:
    for variable, value in VARIABLES.items():
        text = text.replace(variable, value)
    assert "$" not in text.replace("/^.*$/", ""), text
    return text


def reports(at: datetime, seq: int = 1) -> tuple[LatencyReport, ThroughputReport, ThroughputReport, PathReport]:
    """What the link a → b and the last test of b → a gave."""
    latency = LatencyRow(
        **AB,
        method="stamp",
        sent=50,
        received=47,
        lost_forward=2,
        lost_back=1,
        rtt_p50_s=0.02,
        rtt_p95_s=0.025,
        rtt_p99_s=0.03,
        jitter_p95_p50_s=0.005,
        owd_forward_p50_s=0.01,
        owd_error_s=0.0001,
    )
    test = ThroughputRow(**AB, method="iperf3", goodput_bps=1e9, bytes=10**8, rtt_loaded_s=0.04)
    failed = ThroughputRow(**AB, method="iperf3", failure="refused", detail="no iperf3")
    path = PathRow(**AB, method="udp", hops=(Hop(ttl=1, address="192.0.2.1"),), fingerprint="f", changed=False)
    common: Mapping[str, Any] = {"boot": "boot", "at": at}
    return (
        LatencyReport(**common, seq=seq, links=(latency,)),
        ThroughputReport(**common, seq=seq + 1, links=(test,)),
        ThroughputReport(**common, seq=seq + 2, links=(failed,)),
        PathReport(**common, seq=seq + 3, links=(path,)),
    )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.duckdb")
    latency, test, failed, path = reports(datetime.now(UTC) - timedelta(seconds=30))
    journal.commit([entry(latency), entry(test, "b"), entry(failed, "b"), entry(path)])
    yield journal
    journal.close()


def exported(journal: Journal, settings: SinkSettings) -> None:
    exporter = opened(journal, settings)
    while exporter.step():
        pass
    exporter.close()
    assert (exporter.exported, exporter.trouble) == (4, None)


def test_every_dashboard_is_one_of_those_that_are_tried() -> None:
    assert {name: len(dashboard(name)["panels"]) for name in DASHBOARDS} == PANELS
    assert len({dashboard(name)["uid"] for name in DASHBOARDS}) == len(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_asks_the_data_source_that_is_chosen(name: str) -> None:
    panels = dashboard(name)["panels"]
    for panel in panels:
        for asker in (panel, *panel["targets"]):
            assert asker["datasource"]["uid"] == "${datasource}"
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    places = [tuple(panel["gridPos"].values()) for panel in panels]
    assert all(x + width <= 24 for x, _, width, _ in places)
    assert len(set(places)) == len(places)


def test_influxdb_has_data_for_every_panel(journal: Journal, influxd_port: int) -> None:
    exported(journal, v1(influxd_port))
    variables = [one["query"] for one in dashboard("influxdb")["templating"]["list"][1:]]
    with httpx.Client(base_url=f"http://127.0.0.1:{influxd_port}", trust_env=False) as http:
        for query in (*queries("influxdb"), *(PanelQuery("variable", text) for text in variables)):
            (result,) = http.get("/query", params={"db": "linkweather", "q": query.text}).json()["results"]
            values = [value for one in result.get("series", ()) for row in one["values"] for value in row[1:]]
            assert any(value is not None for value in values), (query, result)


def test_victoriametrics_has_data_for_every_panel(journal: Journal, victoria_port: int) -> None:
    exported(journal, v2(victoria_port, token="x"))
    names = _variable_metrics("victoriametrics")
    with httpx.Client(base_url=f"http://127.0.0.1:{victoria_port}", trust_env=False) as http:

        def found(query: str) -> bool:
            http.get("/internal/force_flush")
            return bool(http.get("/api/v1/query", params={"query": query}).json()["data"]["result"])

        for query in (*queries("victoriametrics"), *(PanelQuery("variable", name) for name in names)):
            servers.wait_until(partial(found, query.text), str(query))


def _variable_metrics(name: str) -> list[str]:
    """The metrics whose labels the variables offer."""
    texts = [one["query"]["query"] for one in dashboard(name)["templating"]["list"][1:]]
    return [re.fullmatch(r"label_values\((\w+), \w+\)", text)[1] for text in texts]  # type: ignore[index]


async def test_prometheus_has_data_for_every_panel(
    settings: CollectorSettings, site: aiomqtt.Client, tmp_path: Path
) -> None:
    values = settings.model_dump() | {"sinks": {"lake": {"kind": "parquet", "folder": str(tmp_path / "lake")}}}
    async with running(CollectorSettings.model_validate(values)) as collector:
        await site.publish(topics.status("a"), encode(Status(state="online")), qos=1, retain=True)

        async def report(seq: int) -> None:
            # A clock that is ahead is known at once, one that is not after ten seconds.
            latency, test, *_ = reports(datetime.now(UTC) + timedelta(seconds=2), seq)
            await site.publish(topics.report("a", "latency"), encode(latency), qos=1)
            await site.publish(topics.report("b", "throughput"), encode(test), qos=1)

        await report(1)
        await collector.until_link("state", "fresh")
        with servers.prometheus(tmp_path, [settings.api.port]) as port:
            await _all_found(port, report)
        text = (await collector.http.get("/metrics")).text
    alerts = set(re.findall(r"\blinkweather_\w+", read("config/prometheus/alerts.yml")))
    assert alerts - set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)) == set()


async def _all_found(port: int, report: Callable[[int], Awaitable[None]]) -> None:
    """Report on until Prometheus has something for every query."""
    waiting = [*queries("prometheus"), *(PanelQuery("variable", name) for name in _variable_metrics("prometheus"))]
    seq = 1
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
        asyncio.timeout(servers.START_LIMIT_S),
    ):
        while waiting:
            seq += 10
            await report(seq)
            query = waiting[0]
            if (await http.get("/api/v1/query", params={"query": query.text})).json()["data"]["result"]:
                waiting.pop(0)
            else:
                await asyncio.sleep(0.1)


def test_the_provisioned_sources_are_of_the_types_that_the_dashboards_ask() -> None:
    sources = yaml.safe_load(read("config/grafana/provisioning/datasources/linkweather.yaml"))["datasources"]
    wanted = {dashboard(name)["templating"]["list"][0]["query"] for name in DASHBOARDS}
    assert {source["type"] for source in sources} == wanted
    (provider,) = yaml.safe_load(read("config/grafana/provisioning/dashboards/linkweather.yaml"))["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards/linkweather"
