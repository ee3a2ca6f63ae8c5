"""A whole system on loopback, every part a process of its own that can be killed and started again."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from linkweather.client import Client
from linkweather.models.ledger import LedgerAnswer
from tests import servers
from tests.chaos.balance import OutboxRecord
from tests.chaos.records import INFLUX_DATABASE, joined, read_outbox

LINKWEATHER = (sys.executable, "-P", "-m", "linkweather")
_TORN_COPIES = 5
_FAULTY_PROCESS = Path(__file__).with_name("faulty_process.py")
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


@dataclass(frozen=True, slots=True)
class OutboxFile:
    """The outbox of the probe that runs as part `probe`."""

    probe: str
    site: str
    path: Path


@dataclass
class System:
    """The parts by name: `broker`, `influx`, `collector`, and `probe SITE` for every site.

    `outboxes` are the probes' by the names of their parts, `earlier` what files held that were changed since.
    """

    folder: Path
    sites: Sequence[str]
    outbox_max_bytes: Mapping[str, int] = field(default_factory=dict)
    # Parts that run with another clock, or with commits that fail, when `fault` says so.
    faulty: Collection[str] = ()
    # Sites, beside those of `outbox_max_bytes`, of which reports may be dropped.
    may_drop: Collection[str] = ()
    # (who connects and to what, port) → the port it connects to instead.
    through: Callable[[str, int], int] = lambda _way, port: port
    ports: dict[str, int] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    outboxes: dict[str, OutboxFile] = field(default_factory=dict)
    earlier: dict[str, OutboxRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.addresses = dict(zip(self.sites, _ADDRESSES, strict=False))
        self.ports = {name: servers.free_port() for name in ("broker", "influx", "api")}
        self._add("broker", servers.require("mosquitto"), "-c", self._write("mosquitto.conf", self._broker_settings()))
        self._add("influx", servers.require("influxd"), "-config", self._write("influxd.conf", self._influx_settings()))
        self.add_collector("collector", self.ports["api"], self._sink_settings())
        for site in self.sites:
            self.add_probe(f"probe {site}", site, self.folder / site, self.addresses[site])

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

    def add_collector(self, name: str, api_port: int, more: str = "") -> None:
        """A collector with a journal of its own."""
        text = (
            f'broker = "mqtt://127.0.0.1:{self._way(name, "broker")}"\ndata_dir = "{name}"\n'
            f"[api]\nport = {api_port}\n[journal]\nmemory_limit_mb = 128\nkeep_days = 1\n{more}"
        )
        self._add(name, *self._linkweather(name), "collector", "--config", self._write(f"{name}.toml", text))

    def add_probe(self, name: str, site: str, folder: Path, address: str) -> None:
        """A probe of a site, with an outbox of its own."""
        text = (
            f'site = "{site}"\nbroker = "mqtt://127.0.0.1:{self._way(name, "broker")}"\n'
            f'data_dir = "{folder}"\nbind = ["{address}"]\n'
            f"outbox_max_bytes = {self.outbox_max_bytes.get(site, 2**26)}\n"
        )
        self.outboxes[name] = OutboxFile(name, site, folder / "outbox.sqlite")
        settings = self._write(f"{name.replace(' ', '-')}.toml", text)
        self._add(name, *self._linkweather(name), "probe", "--config", settings)

    def add_twin(self, site: str) -> str:
        """A second probe of a site, at another address; its part's name."""
        name = f"twin {site}"
        self.add_probe(name, site, self.folder / f"twin-{site}", next(_ADDRESSES))
        return name

    def fault(self, name: str, what: str, value: str) -> None:
        """Ask a faulty part for a fault: see `faulty_process`."""
        self._write(f"fault-{name.replace(' ', '-')}.{what}", value)

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

    def record(self, name: str) -> OutboxRecord:
        """What the outbox of a probe's part was given, and what is left of it."""
        file = self.outboxes[name]
        may_drop = file.site in {*self.outbox_max_bytes, *self.may_drop}
        for _ in range(_TORN_COPIES):  # of a file in use
            with contextlib.suppress(sqlite3.DatabaseError):
                now = read_outbox(file.path, file.site, may_drop=may_drop)
                break
        else:
            now = read_outbox(file.path, file.site, may_drop=may_drop)
        return joined(self.earlier[name], now) if name in self.earlier else now

    def ledger(self) -> LedgerAnswer:
        """Where every report went, says the collector."""
        with Client(self.api) as client:
            return client.ledger(limit=10_000)

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

    def _sink_settings(self) -> str:
        return (
            f'[sinks.influx]\nurl = "http://127.0.0.1:{self._way("collector", "influx")}"\n'
            f'database = "{INFLUX_DATABASE}"\n'
        )

    def _linkweather(self, name: str) -> Sequence[str]:
        if name not in self.faulty:
            return LINKWEATHER
        asked = self.folder / f"fault-{name.replace(' ', '-')}"
        return sys.executable, "-P", str(_FAULTY_PROCESS), str(asked)


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
