"""A probe's own metrics for Prometheus, and the few lines of HTTP that they need; loaded only where a port is given."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from linkweather.errors import OperatorError
from linkweather.wire import Status
from probes.settings import ProbeMetricsSettings

REQUEST_LIMIT_S: Final = 5.0
MAX_REQUEST_BYTES: Final = 8192
MAX_CONNECTIONS: Final = 16  # further ones are closed at once


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReadings:
    """Everything at one moment: what the site's status says, and what only the site knows."""

    status: Status
    broker_connected: bool
    reports: Mapping[str, int]
    ignored: Mapping[str, int]
    dropped_datagrams: Mapping[str, int]
    faults: Mapping[str, int]


class _OfProbe(Collector):
    def __init__(self, readings: ProbeReadings) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        readings, status = self._readings, self._readings.status
        build = GaugeMetricFamily("linkweather_probe_build_info", "The probe's version.", labels=["version"])
        build.add_metric([status.version or ""], 1)
        yield build
        text = "Whether the broker is connected."
        yield GaugeMetricFamily("linkweather_probe_broker_connected", text, float(readings.broker_connected))
        yield from _of_status(status)
        for name, label, text, counts in (
            ("reports", "kind", "Reports made since the start.", readings.reports),
            ("ignored_messages", "reason", "Messages that could not be used.", readings.ignored),
            ("dropped_datagrams", "reason", "Latency probes left unanswered.", readings.dropped_datagrams),
            ("faults", "place", "Unexpected exceptions, contained; the log has the first of each.", readings.faults),
            ("throughput_tests", "reason", "Tests of incoming links, by why they ran.", status.throughput_tests),
            ("overflows", "queue", "What was dropped as too much waited.", status.overflows),
            ("unpublished", "reason", "What the broker would not take.", status.unpublished),
        ):
            family = CounterMetricFamily(f"linkweather_probe_{name}", text, labels=[label])
            for value, count in (counts or {}).items():
                family.add_metric([value], count)
            yield family


def _of_status(status: Status) -> Iterable[Metric]:
    for form, name, text in (
        (GaugeMetricFamily, "outbox_reports", "Reports that wait for the collector."),
        (CounterMetricFamily, "dropped_reports", "Reports that the outbox had no room for."),
        (CounterMetricFamily, "refused_reports", "Reports that the collector refused for good."),
        (CounterMetricFamily, "damaged_reports", "Reports that were lost to damage of the outbox."),
        (GaugeMetricFamily, "oversized_reports", "Reports that wait as the broker takes no packets of their size."),
        (GaugeMetricFamily, "budget_bytes_per_day", "What throughput tests may move in 24 hours."),
        (GaugeMetricFamily, "budget_left_bytes", "What throughput tests may move now."),
    ):
        if (value := getattr(status, name)) is not None:
            yield form(f"linkweather_probe_{name}", text, value)
    family = GaugeMetricFamily("linkweather_probe_damaged_files", "Damaged files, set aside.", labels=["file"])
    for name, count in (status.damaged_files or {}).items():
        family.add_metric([name], count)
    yield family


def exposition(readings: ProbeReadings) -> bytes:
    """The readings, and the process's processor time, memory and files, as text for Prometheus."""
    registry = CollectorRegistry()
    registry.register(_OfProbe(readings))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


@contextlib.asynccontextmanager
async def serving(settings: ProbeMetricsSettings, read: Callable[[], ProbeReadings]) -> AsyncIterator[None]:
    """Answer GET /metrics until the block ends. Raises OperatorError where the port cannot be had."""
    server = _MetricsServer(read)
    try:
        listening = await asyncio.start_server(
            server.handle, settings.host, settings.port, limit=MAX_REQUEST_BYTES, reuse_address=True
        )
    except OSError as error:
        raise OperatorError(f"metrics.port = {settings.port}: cannot listen on {settings.host}: {error}") from None
    try:
        yield
    finally:
        listening.close()
        server.end()


class _MetricsServer:
    """One answer a connection: a scraper opens another one in a quarter of a minute."""

    def __init__(self, read: Callable[[], ProbeReadings]) -> None:
        self._read = read
        self._open: set[asyncio.StreamWriter] = set()

    def end(self) -> None:
        """Close what is open."""
        for writer in self._open:
            writer.close()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._open.add(writer)
        try:
            # Whoever asks by halves, too much or too slowly gets no answer.
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(REQUEST_LIMIT_S):
                    writer.write(self._answer(await reader.readuntil(b"\r\n\r\n")))
                    await writer.drain()
        finally:
            self._open.discard(writer)
            writer.close()

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        known = rest.partition(b" ")[0].partition(b"?")[0] == b"/metrics"
        if method not in {b"GET", b"HEAD"} or not known:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        body = exposition(self._read())
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\n\r\n".encode() + (body if method == b"GET" else b"")
