"""How fast a backlog drains over a long path, and what the newest reports wait: 12,000 reports, 300 ms of round trip.

    .venv/bin/python -m tests.bench.draining [--reports 12000] [--delay-ms 150]

A real broker behind a TCP proxy that delays each direction, a real collector's ingest and journal at the broker. While
the backlog drains, a report a second is written: how long each takes from the outbox to `committed` is printed beside.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from collector.ingest.ingest import Ingest
from collector.store.journal import Journal
from linkweather.broker import Broker, parse_broker
from linkweather.mqtt import Connection
from linkweather.wire import Committed, LatencyReport, LatencyRow, decode, encode, topics
from probes.delivery.outbox import Outbox
from probes.delivery.publisher import Publisher
from tests import servers

PEERS = 11
ARRIVAL_S = 1.0
_PIECE_BYTES = 65536


async def delayed(port: int, delay_s: float) -> asyncio.Server:
    """A way to the port that delays every byte by `delay_s` in each direction, and slows none."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(_PIECE_BYTES):
            loop.call_later(delay_s, writer.write, data)
        loop.call_later(delay_s, writer.close)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer), return_exceptions=True)
        except asyncio.CancelledError:  # the end of the run
            pass
        finally:
            writer.transport.abort()
            far_writer.transport.abort()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def report(boot: str, seq: int) -> bytes:
    """What a site of twelve says of its links."""
    rows = tuple(
        LatencyRow(src="a", dst=f"site-{peer}", method="stamp", sent=50, received=50, rtt_p50_s=0.0123456789)
        for peer in range(PEERS)
    )
    return encode(LatencyReport(boot=boot, seq=seq, at=datetime.now(UTC), links=rows))


class Draining:
    """One run: `seconds` until the backlog is gone, `waits_s` of the reports written meanwhile, `received` of all."""

    def __init__(self, folder: Path, reports: int) -> None:
        self._outbox = Outbox(folder / "outbox.sqlite", new_boot=lambda: "boot", max_bytes=2**30)
        self._journal = Journal(folder / "journal.duckdb")
        for _ in range(reports):
            self._outbox.add("latency", report)
        self._backlog = reports
        self._written: dict[int, float] = {}
        self.waits_s: list[float] = []
        self.committed = 0
        self.received = 0

    async def run(self, port: int, near_port: int) -> float:
        """Drain through `port`; the collector is at `near_port`."""
        collector, ingest = self._collector(near_port)
        site, publisher = self._site(port)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(), name="collector") for work in (collector.run, ingest.run)]
            await _until(lambda: collector.connected)
            started = time.monotonic()
            tasks += [group.create_task(work(), name="site") for work in (site.run, publisher.run)]
            tasks.append(group.create_task(self._write(publisher), name="new reports"))
            await _until(lambda: self.committed >= self._backlog)
            seconds = time.monotonic() - started
            for task in tasks:
                task.cancel()
        return seconds

    def close(self) -> None:
        """Close the files."""
        self._outbox.close()
        self._journal.close()

    def _collector(self, port: int) -> tuple[Connection, Ingest]:
        def handle(topic: str, payload: bytes) -> None:
            self.received += 1
            ingest.handle(topic, payload)

        publish: Callable[[str, bytes], Awaitable[bool]] = lambda topic, payload: collector.publish(topic, payload)  # noqa: E731, PLW0108
        ingest = Ingest(self._journal, publish=publish)
        collector = Connection(_broker(port), "collector", subscriptions=[topics.ALL_REPORTS], handle=handle)
        return collector, ingest

    def _site(self, port: int) -> tuple[Connection, Publisher]:
        def handle(_topic: str, payload: bytes) -> None:
            found = decode(Committed, payload)
            publisher.handle_committed(found)
            now = time.monotonic()
            self.committed += len(found.seqs)
            self.waits_s += [now - self._written.pop(seq) for seq in found.seqs if seq in self._written]

        site = Connection(
            _broker(port),
            "site",
            subscriptions=[topics.committed("a")],
            handle=handle,
            on_connect=lambda: publisher.on_connect(site.max_packet_bytes),
        )
        publisher = Publisher(self._outbox, "a", site.publish)
        return site, publisher

    async def _write(self, publisher: Publisher) -> None:
        while True:
            await asyncio.sleep(ARRIVAL_S)
            seq = self._outbox.add("latency", report)
            assert seq is not None
            self._written[seq] = time.monotonic()
            publisher.wake()


def _broker(port: int) -> Broker:
    return parse_broker(f"mqtt://127.0.0.1:{port}")


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def drain(folder: Path, reports: int, delay_s: float) -> tuple[Draining, float]:
    """Drain a backlog over the delayed path."""
    with servers.mosquitto(folder, extra="max_inflight_messages 1000\n") as port:
        async with await delayed(port, delay_s) as way:
            found = Draining(folder, reports)
            try:
                seconds = await found.run(way.sockets[0].getsockname()[1], port)
            finally:
                found.close()
    return found, seconds


def main() -> None:
    """Run it, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=12_000)
    parser.add_argument("--delay-ms", type=float, default=150.0, help="one way")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found, seconds = asyncio.run(drain(Path(folder), options.reports, options.delay_ms / 1000))
    print(f"{options.reports} reports over a round trip of {2 * options.delay_ms:g} ms: {seconds:.1f} s")
    print(f"  {options.reports / seconds:.0f} reports/s, while {1 / ARRIVAL_S:g}/s arrive; {found.received} received")
    waits = found.waits_s
    print(f"  new ones, from outbox to committed: median {statistics.median(waits):.2f} s, most {max(waits):.2f} s")


if __name__ == "__main__":
    main()
