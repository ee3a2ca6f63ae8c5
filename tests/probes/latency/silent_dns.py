"""Many names, a DNS server that keeps silent until we are connected to a broker, and then answers 127.0.0.1.

Runs in network and mount namespaces of its own, where port 53 is free and resolv.conf is ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from pathlib import Path

from linkweather.broker import parse_broker
from linkweather.mesh import LatencyTests
from linkweather.mqtt import Connection
from linkweather.wire import LatencyRow
from probes.latency.engine import LatencyEngine
from probes.latency.prober import load
from probes.latency.reflector import Reflector
from probes.latency.targets import LatencyPeer
from tests import servers

FAST = LatencyTests(interval_s=0.05, timeout_s=0.3, report_interval_s=0.25)
PEERS = 64  # more than the loop's executor has threads


def serve(server: socket.socket, asked: threading.Event, may_answer: threading.Event) -> None:
    """Answer every question for an IPv4 address with 127.0.0.1, any other one with nothing, once that is allowed."""
    waiting: list[tuple[bytes, tuple[str, int]]] = []
    server.settimeout(0.05)
    while True:
        with contextlib.suppress(TimeoutError):
            waiting.append(server.recvfrom(512))
            asked.set()
        while may_answer.is_set() and waiting:
            query, source = waiting.pop()
            server.sendto(reply(query), source)


def reply(query: bytes) -> bytes:
    """RFC 1035 §4.1: the question, and a record that points to its name."""
    end = query.index(b"\0", 12) + 5
    wanted = query[end - 4 : end - 2] == b"\0\1"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" if wanted else b""
    return query[:2] + b"\x81\x80\0\1" + bytes([0, int(wanted)]) + bytes(4) + query[12:end] + record


async def run(broker_port: int, asked: threading.Event, may_answer: threading.Event) -> None:
    """Print what came true."""
    connected, probed = asyncio.Event(), asyncio.Event()

    def take(rows: list[LatencyRow]) -> None:
        if len({row.dst for row in rows if row.received and row.address == "127.0.0.1"}) == PEERS:
            probed.set()

    reflector = Reflector(0, bind=["127.0.0.1"])
    shell = LatencyEngine("a", load("stamp"), FAST, on_window=lambda _, rows: take(rows))
    shell.set_peers([LatencyPeer(f"p{number}", f"p{number}.test", reflector.port) for number in range(PEERS)], FAST)
    connection = Connection(
        parse_broker(f"mqtt://127.0.0.1:{broker_port}"),
        "a",
        subscriptions=(),
        handle=lambda _topic, _payload: None,
        on_connect=connected.set,
    )
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(shell.run(), name="engine"), group.create_task(reflector.run(), name="reflector")]
        await asyncio.to_thread(asked.wait)
        running.append(group.create_task(connection.run(), name="mqtt"))
        await connected.wait()
        print("connected while DNS was silent")
        may_answer.set()
        await probed.wait()
        print("probed when it answered")
        for task in running:
            task.cancel()


def main(folder: Path) -> None:
    """Run a broker, the DNS server and the engine."""
    asked, may_answer = threading.Event(), threading.Event()
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=serve, args=(server, asked, may_answer), daemon=True).start()
    with servers.mosquitto(folder) as port:
        asyncio.run(run(port, asked, may_answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
