"""Fixtures that every part shares."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests import installing, servers

# A script that starts `make test &` has SIGINT ignored, and so would every program that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test measures absolute time: an example may be slow where the machine is.
settings.register_profile("linkweather", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("linkweather")

# Parallel workers take a file each; what runs a demo on loopback is one worker's, as all have the same addresses.
LOOPBACK_DEMO = ("tests/demo/", "tests/test_documents.py", "tests/packaging/")
# These take a minute or more: they come first, so that no worker waits for another one at the end.
LONGEST = (
    *LOOPBACK_DEMO,
    "tests/chaos/",
    "tests/test_extending.py",
    "tests/examples/",
    "tests/page/test_views.py",
    "tests/probes/test_daemon.py",
    "tests/probes/throughput/",
    "tests/probes/path/",
    "tests/probes/latency/test_lab.py",
    "tests/collector/test_daemon.py",
    "tests/collector/test_readiness.py",
    "tests/collector/sinks/",
)


def _group(nodeid: str) -> str:
    """What runs one after the other: a file, or everything that runs a demo on loopback."""
    path = nodeid.partition("::")[0]
    return "demo" if path.startswith(LOOPBACK_DEMO) else path


class _GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives a worker a group at a time, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Groups of our own: marks of a group do not reach xdist 3.8 from pytest 9.2."""
    return _GroupScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the longest to the front."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture
def broker_port(tmp_path: Path) -> Iterator[int]:
    """A running mosquitto's port."""
    with servers.mosquitto(tmp_path) as port:
        yield port


@pytest.fixture
def influxd_port(tmp_path: Path) -> Iterator[int]:
    """A running InfluxDB 1.x's port."""
    with servers.influxd(tmp_path) as port:
        yield port


@pytest.fixture
def victoria_port(tmp_path: Path) -> Iterator[int]:
    """A running VictoriaMetrics' port."""
    with servers.victoria_metrics(tmp_path) as port:
        yield port


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return installing.build(tmp_path_factory.mktemp("wheel"))
