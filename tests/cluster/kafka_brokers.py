"""Three real Kafka brokers on loopback (KRaft, each broker and controller), to be killed and started again."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests import servers
from tests.documents import ROOT

JARS = ROOT / "build" / "kafka"
START_LIMIT_S = 120.0
_HEAP = ("-Xms96m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class KafkaBrokers:
    """So many brokers in a folder; all end with `close`."""

    def __init__(self, folder: Path, count: int = 3) -> None:
        self._folder = folder
        self._cluster = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
        self.ports = [servers.free_port() for _ in range(count)]
        self._controllers = [servers.free_port() for _ in range(count)]
        self._parts = [contextlib.ExitStack() for _ in range(count)]
        self._running: list[subprocess.Popen[bytes] | None] = [None] * count
        for number in range(count):
            self._configure(number)

    @property
    def address(self) -> str:
        """As a setting names them."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def start(self, numbers: Sequence[int]) -> None:
        """Start brokers; they listen when this returns."""
        for number in numbers:
            command = self._java("kafka.Kafka", str(self._folder / f"broker-{number}.properties"))
            self._running[number] = self._parts[number].enter_context(
                servers.running(*command, log=self._folder / f"broker-{number}.log")
            )
        for number in numbers:
            servers.wait_until(lambda port=self.ports[number]: servers.answers(port), "Kafka listens", START_LIMIT_S)  # type: ignore[misc]

    def kill(self, number: int) -> None:
        """SIGKILL one."""
        process = self._running[number]
        assert process is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._parts[number].close()

    def close(self) -> None:
        """Stop all."""
        for parts in self._parts:
            parts.close()

    def _configure(self, number: int) -> None:
        voters = ",".join(f"{one}@127.0.0.1:{port}" for one, port in enumerate(self._controllers))
        properties = {
            "process.roles": "broker,controller",
            "node.id": number,
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.ports[number]},"
            f"CONTROLLER://127.0.0.1:{self._controllers[number]}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.ports[number]}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self._folder / f"broker-{number}",
            "offsets.topic.replication.factor": len(self.ports),
            "offsets.topic.num.partitions": 3,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 500,
            "auto.create.topics.enable": "false",
            "log.cleaner.dedupe.buffer.size": 8_388_608,  # of 128 MB, which is more than the heap
            "num.network.threads": 2,
            "num.io.threads": 2,
            "broker.session.timeout.ms": 6000,
        }
        file = self._folder / f"broker-{number}.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        subprocess.run(
            self._java("kafka.tools.StorageTool", "format", "-t", self._cluster, "-c", str(file)),
            check=True,
            capture_output=True,
        )

    @staticmethod
    def _java(*arguments: str) -> list[str]:
        return [servers.require("java"), *_HEAP, "-cp", f"{JARS}/*", *arguments]
