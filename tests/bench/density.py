"""What a probe and its answer cost in CPU time: ours beside irtt and fping, on loopback, in one run.

    .venv/bin/python -m tests.bench.density [--for SECONDS] [--peers N]

Senders: the whole daemon with N peers at 10 probes/s each, its reports included; fping with as many targets; one irtt
client. Reflectors: ours and irtt's server under more requests than they can answer. All figures are CPU time, of
user and kernel, over packets: what a process would do with a core of its own. Exits 1 when the daemon needs more
than a core, or the reflector answers fewer than 100,000 packets for one second of CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import psutil

from linkweather.mesh import Mesh
from probes.latency.reflector import Reflector
from probes.latency.stamp_packet import StampRequest, encode_request
from tests import servers
from tests.mesh_messages import mesh_messages

INTERVAL_S = 0.1
SETTLE_S = 8.0
REPLIES_PER_CPU_S = 100_000
SOURCES = 64  # a reflector limits the rate of each source
BATCH = 16
IRTT_CLIENTS = 4
PROGRAMS = ("fping", "irtt", "mosquitto")


@dataclass(frozen=True)
class Cost:
    """So many packets for so much CPU time, within a while; `note` says what else is to be known."""

    name: str
    packets: int
    cpu_s: float
    elapsed_s: float
    note: str = ""

    @property
    def per_cpu_s(self) -> float:
        return self.packets / self.cpu_s

    def __str__(self) -> str:
        return (
            f"{self.name:28} {self.packets:8} {self.packets / self.elapsed_s:10,.0f} {self.cpu_s / self.elapsed_s:7.1%}"
            f" {self.cpu_s / self.packets * 1e6:9.1f} {self.per_cpu_s:12,.0f}  {self.note}"
        )


def main() -> int:
    """Measure, print the table, and exit 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--for", dest="for_s", type=float, default=10.0)
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--reflect", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--flood", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reflect:
        asyncio.run(Reflector(options.reflect, rate_per_s=1e9).run())
        return 0
    if options.flood:
        flood(options.flood, options.for_s)
        return 0
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        print(f"cannot run: missing: {', '.join(missing)}", file=sys.stderr)
        return 2
    return bench(options.peers, options.for_s)


def bench(peers: int, for_s: float) -> int:
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print(f"{'':28} {'packets':>8} {'packets/s':>10} {'a core':>7} {'µs each':>9} {'a core can':>12}")
    with tempfile.TemporaryDirectory() as name:
        daemon = daemon_cost(Path(name), peers, for_s)
        print(daemon, flush=True)
        print(fping_cost(peers, for_s), flush=True)
        for cost in irtt_costs(Path(name), for_s):
            print(cost, flush=True)
        reflector = reflector_cost(Path(name), for_s)
        print(reflector)
    good = daemon.cpu_s <= daemon.elapsed_s and reflector.per_cpu_s >= REPLIES_PER_CPU_S
    return 0 if good else 1


# Senders


def daemon_cost(folder: Path, peers: int, for_s: float) -> Cost:
    """The daemon that a user would start, without a collector: its reports stay in the outbox, to be counted."""
    port = servers.free_port(socket.SOCK_DGRAM)
    data = folder / "site"
    ours = [sys.executable, "-m", "linkweather", "probe", "--site", "s0", "--bind", "127.0.0.1"]
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(servers.mosquitto(folder))
        stack.enter_context(myself(folder, "--reflect", str(port)))
        options = ["--broker", f"mqtt://127.0.0.1:{broker}", "--data-dir", str(data)]
        process = stack.enter_context(servers.running(*ours, *options, log=folder / "log"))
        asyncio.run(publish_mesh(broker, peers, port))
        time.sleep(SETTLE_S)
        cpu_s, elapsed_s = used(process.pid, for_s)
        if process.poll() is not None:
            sys.exit(f"the daemon ended:\n{(folder / 'log').read_text()}")
    rows = reported(data / "outbox.sqlite")
    sent, received = sum(row["sent"] for row in rows), sum(row["received"] for row in rows)
    stamps = {row.get("timestamp") for row in rows}
    packets = round(peers / INTERVAL_S * elapsed_s)
    note = f"{len(rows)} rows: {received} of {sent} came back, stamped by {stamps}"
    return Cost(f"our daemon, {peers} peers", packets, cpu_s, elapsed_s, note)


async def publish_mesh(broker: int, peers: int, port: int) -> None:
    """Site s0 probes every other; one reflector stands for all of them."""
    names = [f"s{number}" for number in range(1, peers + 1)]
    addresses = [f"127.10.{number // 250}.{number % 250 + 1}" for number in range(peers)]
    sites = {name: {"address": address, "port": port} for name, address in zip(names, addresses, strict=True)}
    mesh = {
        "sites": {"s0": {"address": "127.0.0.1", "port": servers.free_port(socket.SOCK_DGRAM)}, **sites},
        "links": [{"src": "s0", "dst": name} for name in names],
        "latency": {"interval_s": INTERVAL_S},
        "throughput": {"enabled": False},
        "path": {"enabled": False},
    }
    async with aiomqtt.Client("127.0.0.1", broker) as client:
        for topic, payload in mesh_messages(Mesh.model_validate(mesh)):
            await client.publish(topic, payload, qos=1, retain=True)


def reported(outbox: Path) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(outbox)) as database:
        payloads = database.execute("SELECT payload FROM report WHERE kind = 'latency'").fetchall()
    return [row for (payload,) in payloads for row in json.loads(payload)["links"]]


def fping_cost(peers: int, for_s: float) -> Cost:
    """As many targets, as often; the CPU time is the whole process's."""
    addresses = [f"127.10.{number // 250}.{number % 250 + 1}" for number in range(peers)]
    count = round(for_s / INTERVAL_S)
    options = ["-q", "-i", "1" if os.geteuid() else "0", "-p", f"{INTERVAL_S * 1e3:g}", "-c", str(count)]
    began, before = time.monotonic(), children_s()
    subprocess.run(["fping", *options, *addresses], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return Cost(f"fping, {peers} targets", peers * count, children_s() - before, time.monotonic() - began)


def children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


# Reflectors


def irtt_costs(folder: Path, for_s: float) -> Iterator[Cost]:
    """One client at 1,000 probes/s, then the server under some without pause."""
    port = servers.free_port(socket.SOCK_DGRAM)
    server = ["irtt", "server", "-b", f"127.0.0.1:{port}", "-i", "0"]
    with servers.running(*server, log=folder / "irtt.log") as process:
        time.sleep(1.0)
        began, before = time.monotonic(), children_s()
        [sent] = irtt_clients(port, 1, "1ms", for_s)
        yield Cost("irtt client", sent, children_s() - before, time.monotonic() - began)
        began, before = time.monotonic(), cpu_of(process.pid)
        answered = sum(irtt_clients(port, IRTT_CLIENTS, "20us", for_s / 2))
        yield Cost("irtt server", answered, cpu_of(process.pid) - before, time.monotonic() - began)


def irtt_clients(port: int, count: int, interval: str, for_s: float) -> list[int]:
    """The packets that the server received of each client."""
    argv = ["irtt", "client", "-Q", "-i", interval, "-d", f"{for_s}s", "--wait=200ms", "-o", "-", f"127.0.0.1:{port}"]
    clients = [subprocess.Popen(argv, stdout=subprocess.PIPE) for _ in range(count)]
    outputs = [client.communicate()[0] for client in clients]
    return [json.loads(output)["stats"]["server_packets_received"] for output in outputs]


def reflector_cost(folder: Path, for_s: float) -> Cost:
    """The reflector that a user would start; it says at its end what it answered."""
    port = servers.free_port(socket.SOCK_DGRAM)
    log = folder / "reflector.log"
    ours = [sys.executable, "-m", "linkweather", "reflector", "--port", str(port)]
    with servers.running(*ours, log=log) as process:
        servers.wait_until(lambda: b"Reflector at" in log.read_bytes(), "the reflector listens")
        began, before = time.monotonic(), cpu_of(process.pid)
        with myself(folder, "--flood", str(port), "--for", str(for_s)) as flooding:
            flooding.wait()
        cpu_s, elapsed_s = cpu_of(process.pid) - before, time.monotonic() - began
        process.send_signal(signal.SIGINT)
        process.wait()
    told = re.search(r"Answered (\d+) probes, (.*)", log.read_text())
    assert told is not None
    return Cost("our reflector", int(told[1]), cpu_s, elapsed_s, told[2])


def flood(port: int, for_s: float) -> None:
    """Requests from many sources, a batch a system call: Python's own sockets could not keep a reflector busy."""
    packet = ctypes.create_string_buffer(encode_request(StampRequest(1, 1 << 63, 3, 4)), 44)
    vector = _Vector(ctypes.addressof(packet), 44)
    batch = (_Message * BATCH)(*[_Message(vector=ctypes.pointer(vector), vectors=1) for _ in range(BATCH)])
    libc = ctypes.CDLL(None)
    sources = [connected(f"127.77.0.{number}", port) for number in range(1, SOURCES + 1)]
    end_s = time.monotonic() + for_s
    while time.monotonic() < end_s:
        for source in sources:
            libc.sendmmsg(source.fileno(), batch, BATCH, 0)
        time.sleep(0.004)  # 250,000 packets/s at most; the buffer of the reflector holds a round


def connected(address: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((address, 0))
    opened.connect(("127.0.0.1", port))
    return opened


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("bytes", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_bytes", ctypes.c_uint32),
        ("vector", ctypes.POINTER(_Vector)),
        ("vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_bytes", ctypes.c_size_t),
        ("flags_padded", ctypes.c_long),
        ("sent_bytes", ctypes.c_uint),
    )


# Processes


def myself(folder: Path, *options: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    return servers.running(sys.executable, "-m", "tests.bench.density", *options, log=folder / "bench.log")


def used(pid: int, for_s: float) -> tuple[float, float]:
    """The CPU time of a process within a while, and how long that was."""
    began, before = time.monotonic(), cpu_of(pid)
    time.sleep(for_s)
    return cpu_of(pid) - before, time.monotonic() - began


def cpu_of(pid: int) -> float:
    times: Sequence[float] = psutil.Process(pid).cpu_times()
    return times[0] + times[1]


if __name__ == "__main__":
    sys.exit(main())
