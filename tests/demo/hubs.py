"""The demo of the eight hubs, run for a test or a bench, and asked as a user would."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from linkweather.client import Client
from linkweather.errors import CollectorUnavailableError, NoPathError, OperatorError
from linkweather.models.routes import Objective
from tests import servers

PROGRAM = [sys.executable, "-m", "linkweather"]
LIMIT_S = 120


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[Client, Callable[..., str]]]:
    """The demo while the block runs, without a staged day, of the eight hubs unless `options` say otherwise.

    Gives a client of its collector, and its `linkweather` command in the folder.
    """
    port = servers.free_port()
    api = f"http://127.0.0.1:{port}"
    command = [*PROGRAM, "demo", "--data-dir", str(folder / "demo-data"), "--port", str(port), "--quiet", *options]

    def linkweather(*arguments: str) -> str:
        environment = {**os.environ, "LINKWEATHER_API": api}
        done = subprocess.run(
            [*PROGRAM, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=environment,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder) as demo:
        try:
            with Client(api) as client:
                yield client, linkweather
        finally:
            demo.terminate()
            demo.wait(60)


def path(client: Client, src: str, dst: str, objective: Objective = "latency") -> tuple[str, ...]:
    """The path in force; empty while there is none, or nobody answers yet."""
    try:
        return client.route(src, dst, objective=objective).path.sites
    except (CollectorUnavailableError, NoPathError, OperatorError):
        return ()


def wait_for_path(client: Client, *sites: str, objective: Objective = "latency") -> None:
    """Wait until the path in force is through these sites."""
    found: Callable[[], bool] = lambda: path(client, sites[0], sites[-1], objective) == sites  # noqa: E731
    servers.wait_until(found, f"the path is {' → '.join(sites)}", LIMIT_S)
