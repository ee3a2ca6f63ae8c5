"""Real transfers: a source, a forwarder and a fetcher, each a process of its own inside a lab's site.

python -m tests.collector.routing.transfers source ADDRESS PORT
python -m tests.collector.routing.transfers pipelined ADDRESS PORT SOURCE PORT    forwards what comes, as it comes
python -m tests.collector.routing.transfers stored ADDRESS PORT SOURCE PORT       forwards once it has all
python -m tests.collector.routing.transfers fetcher    a JSON object of `fetch`'s arguments in, its seconds out
"""

from __future__ import annotations

import functools
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

BUFFER_BYTES = 256 * 1024
Host = tuple[str, int]
Answer = Callable[[socket.socket], None]


def serve(here: Host, answer: Answer) -> None:
    """Answer every connection in a thread of its own, for ever."""
    with socket.create_server(here, backlog=64) as listening:
        print("listens", flush=True)
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_answer, args=(connection, answer), daemon=True).start()


def _answer(connection: socket.socket, answer: Answer) -> None:
    with connection:
        answer(connection)


def _request(connection: socket.socket) -> dict[str, Any]:
    with connection.makefile("rb") as lines:
        request: dict[str, Any] = json.loads(lines.readline())
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, request["congestion"].encode())
    return request


def _ask(connection: socket.socket, request: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(request).encode() + b"\n")


def send(connection: socket.socket) -> None:
    """What a source does with a connection: sends the bytes that it is asked for."""
    left = _request(connection)["size"]
    zeros = memoryview(bytes(BUFFER_BYTES))
    while left:
        left -= connection.send(zeros[: min(left, BUFFER_BYTES)])


def forward(connection: socket.socket, source: Host) -> None:
    """What a pipelined relay does: every buffer goes on as it comes."""
    request = _request(connection)
    room = memoryview(bytearray(BUFFER_BYTES))
    with socket.create_connection(source) as upstream:
        _ask(upstream, request)
        while count := upstream.recv_into(room):
            connection.sendall(room[:count])


def store(connection: socket.socket, source: Host) -> None:
    """What a stored relay does: nothing goes on until everything has come."""
    request = _request(connection)
    stored = bytearray(request["size"])
    with socket.create_connection(source) as upstream:
        _ask(upstream, request)
        room = memoryview(stored)
        while room:
            room = room[_received(upstream, room) :]
    connection.sendall(stored)


def fetch(address: str, port: int, size: int, streams: int, congestion: str) -> float:
    """Seconds from the first connect to the last byte; each stream brings its share."""
    shares = [size // streams + (number < size % streams) for number in range(streams)]
    with ThreadPoolExecutor(streams) as threads:
        began = time.perf_counter()
        list(threads.map(functools.partial(_fetch, (address, port), congestion), shares))
        return time.perf_counter() - began


def _fetch(source: Host, congestion: str, size: int) -> None:
    room = memoryview(bytearray(BUFFER_BYTES))
    with socket.create_connection(source) as connection:
        _ask(connection, {"size": size, "congestion": congestion})
        while size:
            size -= _received(connection, room)


def _received(connection: socket.socket, room: memoryview) -> int:
    count = connection.recv_into(room)
    if not count:
        raise ConnectionError("it ended before the last byte")
    return count


RELAYS: Mapping[str, Callable[[socket.socket, Host], None]] = {"pipelined": forward, "stored": store}


def main(what: str, where: Sequence[str]) -> None:
    if what == "fetcher":
        for line in sys.stdin:
            print(json.dumps(fetch(**json.loads(line))), flush=True)
        return
    here, *source = [(address, int(port)) for address, port in zip(where[::2], where[1::2], strict=True)]
    serve(here, (lambda connection: RELAYS[what](connection, source[0])) if source else send)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
