"""The processes of a fleet's run: broker, collector and played sites, and who asks and watches the collector."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Self

import httpx
import psutil

from tests import servers
from tests.bench.fleet_map import Fleet, FleetMap
from tests.bench.played_sites import Played, play

LIMIT_S = 300.0
HEALTH_EVERY_S = 0.1
QUESTIONS: Mapping[str, str] = {
    "links": "/api/v1/links",
    "routes": "/api/v1/routes",
    "judge": "/api/v1/evaluation?since=15m",
    "metrics": "/metrics",
}
BROKER = "max_inflight_messages 1000\nlog_type error\n"


class Stack:
    """Broker, collector and sites of one run, in a folder; all end with the block."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self._folder = folder
        self._fleet = fleet
        self.port, self.api_port = servers.free_port(), servers.free_port()
        self._api = httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}", timeout=LIMIT_S)
        self._parts = contextlib.ExitStack()
        self._broker = contextlib.ExitStack()
        self.data = folder / "data"
        (folder / "mesh.toml").write_text(FleetMap(fleet).mesh(fleet))
        (folder / "collector.toml").write_text(
            f'broker = "mqtt://127.0.0.1:{self.port}"\nmesh = "mesh.toml"\ndata_dir = "data"\n'
            f"[api]\nport = {self.api_port}\n"
        )

    def __enter__(self) -> Self:
        self.start_broker()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()
        self._broker.close()
        self._api.close()

    def start_broker(self) -> None:
        """Start the broker."""
        self._broker.enter_context(servers.mosquitto(self._folder, self.port, BROKER))

    def stop_broker(self) -> None:
        """Stop the broker."""
        self._broker.close()

    def start_collector(self) -> float:
        """Start the collector; returns how long until it is ready, in seconds."""
        started = time.monotonic()
        command = (sys.executable, "-m", "linkweather", "collector", "--config", str(self._folder / "collector.toml"))
        self.collector: subprocess.Popen[bytes] = self._parts.enter_context(
            servers.running(*command, log=self._folder / "collector.log")
        )
        servers.wait_until(self._ready, "the collector is ready", LIMIT_S)
        return time.monotonic() - started

    def _ready(self) -> bool:
        assert self.collector.poll() is None, (self._folder / "collector.log").read_text()[-2000:]
        with contextlib.suppress(httpx.HTTPError):
            return self._api.get("/readyz").is_success
        return False

    def get(self, path: str) -> bytes:
        """What the API answers. Raises httpx.HTTPError."""
        return self._api.get(path).raise_for_status().content

    def start_sites(self) -> None:
        """Start the sites; they are connected when this returns."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=play, args=(self._fleet, self.port, theirs), daemon=True)
        process.start()
        self._parts.callback(process.join, 20)
        self._parts.callback(self._quit)
        self.wait_for_sites()

    def wait_for_sites(self) -> None:
        """Wait until all sites are connected."""
        servers.wait_until(lambda: self.played().up == self._fleet.sites, "all sites are up", LIMIT_S)

    def _quit(self) -> None:
        with contextlib.suppress(OSError):  # the process has failed
            self.ask_sites("quit")

    def ask_sites(self, method: str, *arguments: float) -> None:
        """Have the sites do something."""
        self._pipe.send((method, *arguments))

    def played(self) -> Played:
        """What the sites played so far."""
        self.ask_sites("figures")
        found: Played = self._pipe.recv()
        return found


class CollectorWatch:
    """Asks /healthz, and with `asking` the big questions, from threads of its own; looks at the collector's process."""

    def __init__(self, stack: Stack, *, asking: bool) -> None:
        self._stack = stack
        self._ended = threading.Event()
        self.health_s: list[float] = []
        self.answers: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        targets = [self._watch_health] + [self._ask] * asking
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """End the threads."""
        self._ended.set()
        for thread in self._threads:
            thread.join(LIMIT_S)

    def forget(self) -> None:
        """Begin to measure anew."""
        self.health_s, self.answers = [], defaultdict(list)
        self._from = time.monotonic(), self._processor_s()

    def process(self, counts: Counter[str]) -> dict[str, str]:
        """The collector's load since `forget`, what it committed for it, and its size now."""
        since, before_s = self._from
        used_s = self._processor_s() - before_s
        return {
            "processor": f"{used_s / (time.monotonic() - since):.2f} of a core",
            "rows per processor-second": f"{counts['committed_rows'] / used_s:.0f}",
            "resident": f"{self.resident_mb():.0f} MB",
        }

    def resident_mb(self) -> float:
        """The collector's memory now."""
        return float(psutil.Process(self._stack.collector.pid).memory_info().rss) / 2**20

    def _processor_s(self) -> float:
        times = psutil.Process(self._stack.collector.pid).cpu_times()
        return float(times.user + times.system)

    def _watch_health(self) -> None:
        while not self._ended.wait(HEALTH_EVERY_S):
            self.health_s.append(timed(partial(self._stack.get, "/healthz"))[0])

    def _ask(self) -> None:
        while not self._ended.is_set():
            self.ask_once()

    def ask_once(self) -> None:
        """Ask each of the big questions once."""
        for title, path in QUESTIONS.items():
            if not self._ended.wait(0.1):
                took_s, body = timed(partial(self._stack.get, path))
                self.answers[title].append((took_s, len(body)))


def timed(ask: Callable[[], bytes]) -> tuple[float, bytes]:
    """How long that took, infinite where it failed, and what it returned."""
    started = time.monotonic()
    try:
        body = ask()
    except httpx.HTTPError:
        return math.inf, b""
    return time.monotonic() - started, body
