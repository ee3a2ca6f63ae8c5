"""Two whole probes at a real mosquitto: all their keys, or their passwords, are changed, and not a probe is lost."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from linkweather.broker import BrokerSettings
from linkweather.keys.key_folder import KeyFolder
from linkweather.wire import LatencyRow
from probes.daemon import ProbeDaemon
from probes.settings import ProbeSettings
from tests import servers
from tests.linkweather.keys.test_identity import broker, settings_of
from tests.probes.test_daemon import Collector, addresses, collecting
from tests.waiting import until

LATENCY = {"report_interval_s": 0.3, "interval_s": 0.05, "timeout_s": 20.0, "authenticated": True}


def rows(collector: Collector, site: str, since: int = 0) -> list[LatencyRow]:
    return [row for report in collector.reports[site][since:] for row in report.links if isinstance(row, LatencyRow)]


async def further(collector: Collector, site: str) -> None:
    """Wait until two more windows of a site are committed, the first of which may have begun before."""
    seen = len(collector.reports[site])
    await collector.until(lambda: len(collector.reports[site]) > seen + 1)


async def all_measured(collector: Collector, sites: Iterable[str]) -> dict[str, int]:
    """Wait until every probe of each site comes back; how many reports were before: who began first had no peer."""
    before = {}
    for site in sites:
        await collector.until(lambda site=site: any(r.sent == r.received > 0 for r in rows(collector, site)))  # type: ignore[misc]
        await further(collector, site)
        before[site] = len(collector.reports[site])
    return before


def lost(collector: Collector, before: Mapping[str, int]) -> list[LatencyRow]:
    since = [row for site, number in before.items() for row in rows(collector, site, number)]
    return [row for row in since if row.failure or row.sent != row.received]


async def test_all_keys_are_changed_without_a_probe_lost_and_a_wrong_one_is_named_at_both_ends(tmp_path: Path) -> None:
    folder = KeyFolder.create(tmp_path / "keys", datetime.now(UTC), broker=["127.0.0.1"])
    places = dict(zip("ab", addresses(2), strict=True))
    with broker(tmp_path / "keys") as (port, _):
        collectors = settings_of(port, folder.folder_of("collector"), "collector").address
        async with collecting(port, collectors) as collector, AsyncExitStack() as stack:
            daemons = {}
            for site, address in places.items():
                folder.add_site(site, datetime.now(UTC))
                own = folder.path / "sites" / site
                settings = settings_of(port, own)
                daemons[site] = await probing(stack, tmp_path / site, settings, address, key_file=own / "mesh.key")
            await collector.mesh(*places.values(), latency=LATENCY)
            before = await all_measured(collector, places)
            for _ in range(3):
                folder.rotate_mesh_key()
                for site, daemon in daemons.items():
                    folder.rotate(site, datetime.now(UTC))
                    daemon.reload()
                    await further(collector, site)
            assert lost(collector, before) == []
            (folder.folder_of("a") / "mesh.key").write_text("a" * 64)
            daemons["a"].reload()
            await collector.until(lambda: any(row.failure == "wrong_key" for row in rows(collector, "a")))
            await collector.until(lambda: places["a"] in collector.statuses["b"].failed_authentication)


async def test_passwords_are_changed_at_the_site_and_then_at_the_broker_without_a_probe_lost(tmp_path: Path) -> None:
    """As docs/deploying.md says; mosquitto ends the connection of a user whose password is another."""
    places, log = dict(zip("ab", addresses(2), strict=True)), tmp_path / "mosquitto.log"
    for user in ("collector", *places):
        change_password(tmp_path, user, f"before of {user}")
    async with AsyncExitStack() as stack:
        port, process = stack.enter_context(broker_with_passwords(tmp_path))
        collector = await stack.enter_async_context(collecting(port, by_password(port, tmp_path, "collector").address))
        for site, address in places.items():
            await probing(stack, tmp_path / site, by_password(port, tmp_path, site), address)
        await collector.mesh(*places.values(), latency=LATENCY | {"authenticated": False})
        before = await all_measured(collector, places)
        for user, name in (("collector", "collector"), *((site, f"linkweather-{site}-") for site in places)):
            change_password(tmp_path, user, f"after of {user}")
            process.send_signal(signal.SIGHUP)
            await until(lambda name=name: len(re.findall(f"New client .* as {name}", log.read_text())) == 2)  # type: ignore[misc]
            for site in places:
                await further(collector, site)
        assert lost(collector, before) == []
        await collector.until(lambda: all(has_all(collector, site) for site in places))


def has_all(collector: Collector, site: str) -> bool:
    """Whether no number is missing: what went out while the collector was away comes again."""
    numbers = {report.seq for report in collector.reports[site]}
    return numbers == set(range(max(numbers) + 1))


def change_password(folder: Path, user: str, password: str) -> None:
    """Of a user: first in its own file, then in the broker's."""
    file, broker_s = folder / f"{user}.password", folder / "mosquitto.passwd"
    for path in (file, broker_s):
        path.touch(mode=0o600)
    file.write_text(f"{password}\n", encoding="utf-8")
    subprocess.run([servers.require("mosquitto_passwd"), "-b", str(broker_s), user, password], check=True)


def by_password(port: int, folder: Path, user: str) -> BrokerSettings:
    return BrokerSettings(url=f"mqtt://127.0.0.1:{port}", username=user, password_file=folder / f"{user}.password")


@contextmanager
def broker_with_passwords(folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A mosquitto that knows the users of mosquitto.passwd; its port and process."""
    port, settings = servers.free_port(), folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\npassword_file {folder / 'mosquitto.passwd'}\nuser root\n")
    command = servers.require("mosquitto"), "-c", str(settings)
    with servers.running(*command, log=folder / "mosquitto.log") as process:
        servers.wait_until(lambda: servers.answers(port), "mosquitto listens")
        yield port, process


async def probing(
    stack: AsyncExitStack, data_dir: Path, broker: BrokerSettings, address: str, key_file: Path | None = None
) -> ProbeDaemon:
    """A probe of the site that its folder names, until the stack ends."""
    settings = ProbeSettings(site=data_dir.name, broker=broker, data_dir=data_dir, bind=(address,), key_file=key_file)
    daemon, stop = ProbeDaemon(settings, iperf3=None), asyncio.Event()
    group = await stack.enter_async_context(asyncio.TaskGroup())
    group.create_task(daemon.run(stop), name=f"daemon[{data_dir.name}]")
    stack.callback(stop.set)
    return daemon
