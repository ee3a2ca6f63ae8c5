"""Real peers for the tests: each started on a free port of loopback, and gone when its block ends."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest

# Debian keeps daemons where an ordinary PATH does not look.
os.environ["PATH"] += ":/usr/sbin:/sbin"
# On a machine that is busy with other things importing alone has taken longer than 30 s.
START_LIMIT_S = 90.0
# Of the system: hypothesis gives every test, and so every worker, one seed.
_RNG = random.SystemRandom()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of loopback that is free now, below those that the kernel gives to clients: none takes it meanwhile."""
    while True:
        port = _RNG.randrange(10_000, 32_768)
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, kind) as probe:
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = START_LIMIT_S) -> None:
    """Poll until `condition` holds; fail the test when it does not within the limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {limit_s:g} s in vain: {what}")
        time.sleep(0.01)


def answers(port: int) -> bool:
    """Whether something listens at the port of loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def require(program: str) -> str:
    """The program's path; a test that needs it fails, not skips, where `make test` should have installed it."""
    path = shutil.which(program)
    if path is None:
        pytest.fail(f"{program} is missing: run `make test`, which installs it")
    return path


@contextlib.contextmanager
def running(
    *command: str, log: Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process in a session of its own, stopped with everything that it started."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=cwd, env=environment, start_new_session=True
        )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)


@contextlib.contextmanager
def mosquitto(folder: Path, port: int | None = None, extra: str = "") -> Iterator[int]:
    """A broker without persistence; yields its port."""
    port = port or free_port()
    settings = folder / f"mosquitto-{port}.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n{extra}")
    with running(require("mosquitto"), "-c", str(settings), log=folder / "mosquitto.log"):
        wait_until(lambda: answers(port), "mosquitto listens")
        yield port


@contextlib.contextmanager
def influxd(folder: Path, port: int | None = None, http: str = "") -> Iterator[int]:
    """An InfluxDB 1.x that keeps its data in `folder`; `http` adds settings to its [http]. Yields its port."""
    port = port or free_port()
    settings = folder / "influxd.conf"
    settings.write_text(
        f'reporting-disabled = true\nbind-address = "127.0.0.1:{free_port()}"\n'
        f'[meta]\ndir = "{folder}/meta"\n[data]\ndir = "{folder}/data"\nwal-dir = "{folder}/wal"\n'
        f'[monitor]\nstore-enabled = false\n[http]\nbind-address = "127.0.0.1:{port}"\n{http}'
    )
    with running(require("influxd"), "-config", str(settings), log=folder / "influxd.log"):
        wait_until(lambda: responds(f"http://127.0.0.1:{port}/ping"), "influxd answers")
        yield port


@contextlib.contextmanager
def victoria_metrics(folder: Path, port: int | None = None) -> Iterator[int]:
    """A VictoriaMetrics that keeps its data in `folder`, for a hundred years; yields its port."""
    port = port or free_port()
    options = [f"-storageDataPath={folder}/vm", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y"]
    # Without this it keeps a point that is written again, after an acknowledgement got lost, twice.
    once = "-dedup.minScrapeInterval=1ms"
    with running(require("victoria-metrics"), *options, once, log=folder / "victoria-metrics.log"):
        wait_until(lambda: responds(f"http://127.0.0.1:{port}/health"), "VictoriaMetrics answers")
        yield port


@contextlib.contextmanager
def prometheus(folder: Path, targets: Sequence[int], rules: Path | None = None) -> Iterator[int]:
    """A Prometheus that scrapes /metrics of these ports every quarter of a second; yields its own port."""
    port = free_port()
    settings, listed = folder / "prometheus.yml", ", ".join(f'"127.0.0.1:{target}"' for target in targets)
    settings.write_text(
        "global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}\n"
        f"rule_files: [{f'{rules}' if rules else ''}]\n"
        "scrape_configs:\n- job_name: linkweather\n  static_configs:\n"
        f"  - targets: [{listed}]\n"
    )
    options = [
        f"--config.file={settings}",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(require("prometheus"), *options, log=folder / "prometheus.log"):
        wait_until(lambda: responds(f"http://127.0.0.1:{port}/-/ready"), "Prometheus is ready")
        yield port


def responds(url: str) -> bool:
    """Whether a web server answers there with success."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=5).is_success
    return False
