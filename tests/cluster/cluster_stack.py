"""The processes of a cluster's run: Kafka, an MQTT broker, collectors, played sites, and a single collector beside it.

The single collector stands at an MQTT broker of its own, which a bridge gives all reports.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from linkweather.wire import topics
from linkweather.wire.state_rows import decode_state_row
from tests import servers
from tests.bench.fleet_map import Fleet, FleetMap
from tests.bench.played_sites import Played
from tests.cluster.kafka_brokers import KafkaBrokers
from tests.cluster.resting_sites import play_resting

LIMIT_S = 120.0
TOPIC = "linkweather-reports"


class OneCollector:
    """A collector's process, to be started, killed and started again, and its API."""

    def __init__(self, folder: Path, name: str, port: int, extra: str = "") -> None:
        self._folder, self.name, self._process = folder, name, contextlib.ExitStack()
        self.api = f"http://127.0.0.1:{(api_port := servers.free_port())}"
        self._client = httpx.Client(base_url=self.api, timeout=LIMIT_S, trust_env=False)
        self.data = folder / name
        self._config = folder / f"{name}.toml"
        self._config.write_text(
            f'broker = "mqtt://127.0.0.1:{port}"\nmesh = "mesh.toml"\ndata_dir = "{name}"\n'
            f"[api]\nport = {api_port}\n[journal]\nmemory_limit_mb = 256\n{extra}"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it is ready when this returns."""
        command = (sys.executable, "-m", "linkweather", "collector", "--config", str(self._config))
        self.process = self._process.enter_context(servers.running(*command, log=self._folder / f"{self.name}.log"))
        servers.wait_until(self._ready, f"{self.name} is ready", LIMIT_S)

    def stop(self, number: signal.Signals) -> None:
        """End it by a signal."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
        self._process.close()
        self.process = None

    def get(self, path: str) -> Any:
        """What the API answers. Raises httpx.HTTPError."""
        return self._client.get(path).raise_for_status().json()

    def processor_s(self) -> float:
        """The processor time that it took so far."""
        assert self.process is not None
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self._folder / f"{self.name}.log").read_text()[-3000:]
        with contextlib.suppress(httpx.HTTPError):
            return self._client.get("/readyz").is_success
        return False


class ClusterStack:
    """All of it, in a folder; all end with the block."""

    def __init__(self, fleet: Fleet, folder: Path, collectors: int) -> None:
        self._fleet, self._folder, self._parts = fleet, folder, contextlib.ExitStack()
        (folder / "mesh.toml").write_text(FleetMap(fleet).mesh(fleet))
        self.kafka = KafkaBrokers(folder)
        self._port, self._single_port = servers.free_port(), servers.free_port()
        self.collectors = [
            OneCollector(folder, f"collector-{number}", self._port, self._cluster(f"collector-{number}"))
            for number in range(1, collectors + 1)
        ]
        self.single = OneCollector(folder, "single", self._single_port)

    def __enter__(self) -> Self:
        self._parts.callback(self.kafka.close)
        self.kafka.start(range(3))
        self._parts.enter_context(servers.mosquitto(self._folder, self._port))
        bridge = (
            f"connection reports\naddress 127.0.0.1:{self._port}\ntopic linkweather/v1/site/+/report/+ in 1\n"
            "topic linkweather/v1/site/+/status in 1\n"
        )
        self._parts.enter_context(servers.mosquitto(self._folder, self._single_port, bridge))
        return self

    def __exit__(self, *_: object) -> None:
        for collector in (*self.collectors, self.single):
            with contextlib.suppress(subprocess.TimeoutExpired):
                collector.stop(signal.SIGKILL)
        self._parts.close()

    def start_sites(self) -> None:
        """Start the sites; they are connected when this returns."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=play_resting, args=(self._fleet, self._port, theirs), daemon=True)
        process.start()
        self._parts.callback(process.kill)
        servers.wait_until(lambda: self.played().up == self._fleet.sites, "all sites are up", LIMIT_S)

    def ask_sites(self, method: str, *arguments: float) -> None:
        """Have the sites do something."""
        self._pipe.send((method, *arguments))

    def played(self) -> Played:
        """What the sites played so far."""
        self.ask_sites("figures")
        found: Played = self._pipe.recv()
        return found

    def written(self) -> dict[str, tuple[str, int]]:
        """Each site's boot, and how many reports it wrote."""
        self.ask_sites("written")
        found: dict[str, tuple[str, int]] = self._pipe.recv()
        return found

    def owners(self) -> dict[str, str]:
        """The collector that published each site's row."""
        found: dict[str, str] = {}
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.on_message = lambda _client, _data, message: found.__setitem__(
            message.topic.split("/")[3], decode_state_row(bytes(message.payload)).head.by
        )
        client.connect("127.0.0.1", self._port)
        client.subscribe(topics.ALL_STATES)
        deadline = time.monotonic() + LIMIT_S
        while len(found) < self._fleet.sites and time.monotonic() < deadline:
            client.loop(0.1)
        client.disconnect()
        return found

    def in_sync(self) -> bool:
        """Whether every partition of the log is on all brokers."""
        with contextlib.suppress(KafkaException):
            found = AdminClient({"bootstrap.servers": self.kafka.address, "log_level": 2}).list_topics(TOPIC, timeout=5)
            partitions = found.topics[TOPIC].partitions.values()
            return bool(partitions) and all(len(one.isrs) == 3 for one in partitions)
        return False

    def _cluster(self, name: str) -> str:
        return f'[cluster]\nname = "test"\nkafka = "{self.kafka.address}"\ncollector = "{name}"\npartitions = 12\n'
