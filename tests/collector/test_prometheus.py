"""A real Prometheus scrapes a real collector; promtool reads what it scrapes."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import aiomqtt
import httpx

from collector.settings import CollectorSettings, MetricsSettings
from linkweather.wire import Status, encode, topics
from tests import servers
from tests.collector.running_collector import latency_report, running, settings, site

__all__ = ["settings", "site"]


async def sample(prometheus: httpx.AsyncClient, query: str) -> dict[str, str]:
    """The one series that the query finds, once Prometheus has it: its labels and its value."""
    async with asyncio.timeout(servers.START_LIMIT_S):
        while True:
            answer = (await prometheus.get("/api/v1/query", params={"query": query})).json()
            if found := answer["data"]["result"]:
                (one,) = found
                return {**one["metric"], "value": one["value"][1]}
            await asyncio.sleep(0.05)


async def test_prometheus_has_the_links_and_the_sites(
    settings: CollectorSettings, site: aiomqtt.Client, tmp_path: Path
) -> None:
    async with running(settings) as collector:
        await site.publish(topics.status("a"), encode(Status(state="online")), qos=1, retain=True)
        await site.publish(topics.report("a", "latency"), latency_report(1), qos=1)
        await collector.until_link("state", "fresh")
        with servers.prometheus(tmp_path, [settings.api.port]) as port:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as prometheus:
                rtt = await sample(prometheus, 'linkweather_link_rtt_seconds{quantile="0.5"}')
                assert (rtt["src"], rtt["dst"], rtt["value"]) == ("a", "b", "0.02")
                states = await sample(prometheus, 'sum by (src) (linkweather_link_state{src="a"})')
                assert states == {"src": "a", "value": "1"}
                up = await sample(prometheus, 'linkweather_site_up{site="a"}')
                assert (up["value"], (await sample(prometheus, "linkweather_links_without_series"))["value"]) == (
                    "1",
                    "0",
                )
                down = await sample(prometheus, 'linkweather_site_up{site="b"}')
                assert down["value"] == "0"


async def test_promtool_finds_nothing_to_improve(settings: CollectorSettings, site: aiomqtt.Client) -> None:
    counts = {"dropped_reports": 3, "overflows": {"receipts": 2}, "unpublished": {"not_authorized": 1}}
    status = Status.model_validate({"state": "online", **counts, "damaged_files": {"mesh.json": 1}})
    values = settings.model_dump() | {"sinks": {"lake": {"kind": "parquet", "folder": str(settings.data_dir / "lake")}}}
    async with running(CollectorSettings.model_validate(values)) as collector:
        await site.publish(topics.status("a"), encode(status), qos=1, retain=True)
        await site.publish(topics.report("a", "latency"), latency_report(1), qos=1)
        await collector.until_link("state", "fresh")
        text = (await collector.until("/metrics", lambda answer: 'damaged_files{file="mesh.json"' in answer.text)).text
    found = await asyncio.to_thread(
        subprocess.run, [servers.require("promtool"), "check", "metrics"], input=text, capture_output=True, text=True
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


async def test_the_series_of_links_are_left_out_as_the_settings_say(settings: CollectorSettings) -> None:
    for metrics in (MetricsSettings(links=False), MetricsSettings(max_links=1)):
        async with running(settings.model_copy(update={"metrics": metrics})) as collector:
            text = (await collector.http.get("/metrics")).text
        assert "linkweather_link_" not in text
        assert "linkweather_links_without_series 2.0" in text
