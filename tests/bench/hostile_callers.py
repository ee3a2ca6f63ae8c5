"""How long reports wait until they are committed while 50 hostile callers ask the API for what costs most.

    python -m tests.bench.hostile_callers [-n 40] [--for 30]

Played sites, a real mosquitto and a real collector, first alone, then with the callers, each at an address of its own:
they ask for evaluations of a year, histories, availabilities, all links and routes and the metrics, open connections
without a request, send halves of requests, and read no answer. Exit status 1: the 99th percentile of publish to
committed is more than twice that without them, and more than 0.5 s above.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx

from tests.bench.fleet import quantile
from tests.bench.fleet_map import Fleet
from tests.bench.fleet_stack import Stack
from tests.bench.played_sites import Played

CALLERS = 50
SETTLED_S = 15.0
MOST_TIMES, MOST_MORE_S = 2.0, 0.5
PATHS = (
    "/api/v1/evaluation?since=365d",
    "/api/v1/links",
    "/api/v1/routes?objective=goodput",
    "/api/v1/history?src=s0000&dst=s0001&since=7d&step=10m",
    "/api/v1/sla?since=365d",
    "/api/v1/incidents?since=365d&limit=1000",
    "/api/v1/ledger?limit=10000",
    "/metrics",
    "/docs",
    "/alto/networkmap",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", dest="sites", type=int, default=40)
    parser.add_argument("--for", dest="seconds", type=float, default=30.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Stack(Fleet(given.sites, 1.0), Path(folder)) as stack:
        stack.start_collector()
        stack.start_sites()
        time.sleep(SETTLED_S)
        alone = _measured(stack, "alone", given.seconds)
        with _hostile(stack.api_port):
            time.sleep(2.0)
            attacked = _measured(stack, f"with {CALLERS} hostile callers", given.seconds)
        found = stack.get("/metrics").decode()
    print(*(line for line in found.splitlines() if line.startswith("linkweather_overflows_total{")), sep="\n")
    print(f"p99: {attacked / alone:.2f} times that of without")
    return int(attacked > MOST_TIMES * alone and attacked > alone + MOST_MORE_S)


def _measured(stack: Stack, title: str, seconds: float) -> float:
    """The 99th percentile of what live reports wait from now on."""
    before: Played = stack.played()
    time.sleep(seconds)
    after = stack.played()
    rows = (after.counts - before.counts)["committed_rows"] / (after.at - before.at)
    p50, p99 = (quantile(after.waits_s, share) for share in (0.5, 0.99))
    print(f"{title}: publish to committed p50, p99 {p50:.3f}, {p99:.3f} s (n {len(after.waits_s)}), {rows:.0f} rows/s")
    return p99


@contextlib.contextmanager
def _hostile(port: int) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    ended = context.Event()
    process = context.Process(target=_call, args=(port, ended), daemon=True)
    process.start()
    yield
    ended.set()
    process.join(60)


def _call(port: int, ended: Event) -> None:
    """The process of all callers; they stand for other machines, so they give way to the collector."""
    os.nice(10)
    seen: Counter[str] = Counter()
    threads = [threading.Thread(target=_caller, args=(number, port, ended, seen)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("answers:", dict(seen), file=sys.stderr)


def _caller(number: int, port: int, ended: Event, seen: Counter[str]) -> None:
    rng, source = random.Random(number), f"127.0.1.{number + 1}"
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=60) as http:
        while not ended.is_set():
            try:
                if rng.random() < 0.1:
                    _annoy(rng, port, source, ended)
                else:
                    seen[str(http.get(rng.choice(PATHS)).status_code)] += 1
            except (httpx.HTTPError, OSError) as error:
                seen[type(error).__name__] += 1


def _annoy(rng: random.Random, port: int, source: str, ended: Event) -> None:
    """Hold 20 connections for a while: without a request, with half of one, or with an answer that is not read."""
    sent = rng.choice([b"", b"GET / HTTP/1.1\r\nHost: x", b"GET /api/v1/links HTTP/1.1\r\nHost: localhost\r\n\r\n"])
    with contextlib.ExitStack() as held:
        for _ in range(20):
            one = held.enter_context(
                socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))
            )
            one.sendall(sent)
        ended.wait(3.0)


if __name__ == "__main__":
    sys.exit(main())
