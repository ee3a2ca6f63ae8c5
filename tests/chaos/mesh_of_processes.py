"""A whole system on loopback, every part a process of its own that can be killed and started again."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from linkweather.client import Client
from tests import servers

LINKWEATHER = (sys.executable, "-P", "-m", "linkweather")
INFLUX_DATABASE = "linkweather"
# aiomqtt watches a socket from the loop's next round on; where it was reset meanwhile, asyncio logs a traceback.
_AIOMQTT_RACE = re.compile(
    r"^.*Exception in callback BaseSelectorEventLoop\.add_writer\((?s:.*?)(?=^\d{4}-|\Z)", re.MULTILINE
)
STOP_LIMIT_S = 15.0
# Every system has addresses of loopback to itself: the reflectors' port is the same everywhere.
_ADDRESSES = (f"127.{random.randrange(200, 250)}.{random.randrange(1, 250)}.{n}" for n in itertools.count(1))


@dataclass(slots=True)
class Part:
    """One process; `start` starts it, `kill` is a power failure, `stop` a polite end."""

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=output, start_new_session=True)

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        assert self.end(signal.SIGTERM) == 0, self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, when it runs."""
        if self.process is not None:
            self.process.send_signal(number)

    def end(self, number: signal.Signals) -> int:
        """End it with a signal; returns its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(timeout=STOP_LIMIT_S)
        # What it started itself, and could not end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process = None
        return status


@dataclass
class System:
    """The parts by name: `broker`, `influx`, `collector`, and `probe SITE` for every site."""

    folder: Path
    sites: Sequence[str]
    outbox_max_bytes: Mapping[str, int] = field(default_factory=dict)
    # (who connects and to what, port) → the port it connects to instead.
    through: Callable[[str, int], int] = lambda _way, port: port
    ports: dict[str, int] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.addresses = dict(zip(self.sites, _ADDRESSES, strict=False))
        self.ports = {name: servers.free_port() for name in ("broker", "influx", "api")}
        self._add("broker", servers.require("mosquitto"), "-c", self._write("mosquitto.conf", self._broker_settings()))
        self._add("influx", servers.require("influxd"), "-config", self._write("influxd.conf", self._influx_settings()))
        collector = self._write("collector.toml", self._collector_settings())
        self._add("collector", *LINKWEATHER, "collector", "--config", collector)
        for site in self.sites:
            probe = self._write(f"probe-{site}.toml", self._probe_settings(site))
            self._add(f"probe {site}", *LINKWEATHER, "probe", "--config", probe)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports['api']}"

    @property
    def journal(self) -> Path:
        return self.folder / "collector" / "journal.duckdb"

    @property
    def broker_memory(self) -> Path:
        return self.folder / "broker-memory" / "mosquitto.db"

    def start(self, *names: str) -> None:
        for name in names:
            self.parts[name].start()

    def write_mesh(self, sites: Mapping[str, str], tests: str, links: str = "") -> None:
        """Put a mesh into the collector's file: addresses by site."""
        tables = "".join(f'[sites.{site}]\naddress = "{address}"\n' for site, address in sites.items())
        self._write("mesh.toml", f"{links}\n{tests}\n{tables}")

    def lag_rows(self) -> int:
        """How many rows the collector's exporter has still to write."""
        return self._metric('linkweather_sink_lag_rows{sink="influx"}')

    def committed_reports(self) -> int:
        """Reports that this run of the collector committed; 0 while it does not answer."""
        with contextlib.suppress(httpx.HTTPError):
            return self._metric("linkweather_ingest_reports_total")
        return 0

    def _metric(self, name: str) -> int:
        lines = httpx.get(f"{self.api}/metrics", timeout=5).text.splitlines()
        return int(float(next(line for line in lines if line.startswith(f"{name} ")).split()[1]))

    def answers(self) -> bool:
        return servers.responds(f"{self.api}/readyz")

    def sites_seen(self) -> dict[str, Any]:
        with Client(self.api) as client:
            return {site.site: site for site in client.sites()}

    def tracebacks(self) -> list[str]:
        """The parts whose log has a traceback."""
        logs = {name: part.log.read_text(errors="replace") for name, part in self.parts.items() if part.log.exists()}
        return [name for name, text in logs.items() if "Traceback" in _AIOMQTT_RACE.sub("", text)]

    def _add(self, name: str, *command: str) -> None:
        self.parts[name] = Part(name, command, self.folder / f"{name.replace(' ', '-')}.log")

    def _write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def _way(self, name: str, target: str) -> int:
        return self.through(f"{name} → {target}", self.ports[target])

    def _broker_settings(self) -> str:
        # It runs as root where it is started as root: its persistence lies in our folder.
        self.broker_memory.parent.mkdir(exist_ok=True)
        return (
            f"listener {self.ports['broker']} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
            f"user root\npersistence true\npersistence_location {self.broker_memory.parent}/\nautosave_interval 3\n"
        )

    def _influx_settings(self) -> str:
        return (
            f'reporting-disabled = true\nbind-address = "127.0.0.1:{servers.free_port()}"\n'
            f'[meta]\ndir = "{self.folder}/meta"\n[data]\ndir = "{self.folder}/data"\nwal-dir = "{self.folder}/wal"\n'
            f'[monitor]\nstore-enabled = false\n[http]\nbind-address = "127.0.0.1:{self.ports["influx"]}"\n'
        )

    def _collector_settings(self) -> str:
        return (
            f'broker = "mqtt://127.0.0.1:{self._way("collector", "broker")}"\ndata_dir = "collector"\n'
            f"[api]\nport = {self.ports['api']}\n[journal]\nmemory_limit_mb = 128\n"
            f'[sinks.influx]\nurl = "http://127.0.0.1:{self._way("collector", "influx")}"\n'
            f'database = "{INFLUX_DATABASE}"\n'
        )

    def _probe_settings(self, site: str) -> str:
        return (
            f'site = "{site}"\nbroker = "mqtt://127.0.0.1:{self._way(f"probe {site}", "broker")}"\n'
            f'data_dir = "{self.folder}/{site}"\nbind = ["{self.addresses[site]}"]\n'
            f"outbox_max_bytes = {self.outbox_max_bytes.get(site, 2**26)}\n"
        )


@contextlib.contextmanager
def system(folder: Path, sites: Sequence[str], **more: Any) -> Iterator[System]:
    """A system of which nothing runs yet, and nothing runs afterwards."""
    found = System(folder, sites, **more)
    try:
        yield found
    finally:
        for part in found.parts.values():
            if part.process is not None:
                part.kill()
