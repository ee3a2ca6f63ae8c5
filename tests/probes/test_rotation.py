"""Two whole probes with certificates at a real mosquitto: all their keys are changed, and not a probe is lost."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from linkweather.keys.key_folder import KeyFolder
from linkweather.wire import LatencyRow
from probes.daemon import ProbeDaemon
from probes.settings import ProbeSettings
from tests.linkweather.keys.test_identity import broker, settings_of
from tests.probes.test_daemon import Collector, addresses, collecting

LATENCY = {"report_interval_s": 0.3, "interval_s": 0.05, "timeout_s": 20.0, "authenticated": True}


def rows(collector: Collector, site: str) -> list[LatencyRow]:
    return [row for report in collector.reports[site] for row in report.links if isinstance(row, LatencyRow)]


async def further(collector: Collector, site: str) -> None:
    """Wait until two more windows of a site are committed, the first of which may have begun before."""
    seen = len(collector.reports[site])
    await collector.until(lambda: len(collector.reports[site]) > seen + 1)


async def test_all_keys_are_changed_without_a_probe_lost_and_a_wrong_one_is_named_at_both_ends(tmp_path: Path) -> None:
    folder = KeyFolder.create(tmp_path / "keys", datetime.now(UTC), broker=["127.0.0.1"])
    places = dict(zip("ab", addresses(2), strict=True))
    with broker(tmp_path / "keys") as (port, _):
        collectors = settings_of(port, folder.folder_of("collector"), "collector").address
        async with collecting(port, collectors) as collector, AsyncExitStack() as stack:
            daemons = {site: await probing(stack, folder, site, port, places[site]) for site in places}
            await collector.mesh(*places.values(), latency=LATENCY)
            for site in places:  # whoever began first had no reflector to ask
                await collector.until(lambda site=site: any(r.sent == r.received > 0 for r in rows(collector, site)))  # type: ignore[misc]
                await further(collector, site)
                collector.reports[site].clear()
            for _ in range(3):
                folder.rotate_mesh_key()
                for site, daemon in daemons.items():
                    folder.rotate(site, datetime.now(UTC))
                    daemon.reload()
                    await further(collector, site)
            lost = [row for site in places for row in rows(collector, site) if row.failure or row.sent != row.received]
            assert lost == []
            (folder.folder_of("a") / "mesh.key").write_text("a" * 64)
            daemons["a"].reload()
            await collector.until(lambda: any(row.failure == "wrong_key" for row in rows(collector, "a")))
            await collector.until(lambda: places["a"] in collector.statuses["b"].failed_authentication)


async def probing(stack: AsyncExitStack, folder: KeyFolder, site: str, port: int, address: str) -> ProbeDaemon:
    """A probe until the stack ends."""
    own = folder.path / "sites" / site
    folder.add_site(site, datetime.now(UTC))
    settings = ProbeSettings(
        site=site,
        broker=settings_of(port, own),
        data_dir=folder.path.parent / site,
        bind=(address,),
        key_file=own / "mesh.key",
    )
    daemon, stop = ProbeDaemon(settings, iperf3=None), asyncio.Event()
    group = await stack.enter_async_context(asyncio.TaskGroup())
    group.create_task(daemon.run(stop), name=f"daemon[{site}]")
    stack.callback(stop.set)
    return daemon
