"""The collector as one process: its parts, how they hang together, and in which order they start and end."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from collector import metrics
from collector.api.app import HistoryQuestion, Sources, create_app
from collector.api.server import HttpServer
from collector.archive.influx import Exporter
from collector.intake.broker import HOST, EmbeddedBroker, Listen
from collector.intake.ingest import Ingest
from collector.meshfile import MeshFile
from collector.options import EMBEDDED, CollectorSettings
from collector.record.journal import Journal
from collector.state.capacity import Capacities
from collector.state.linkstate import LinkStates
from collector.state.sites import SiteStates
from linkweather import topics
from linkweather.answers import Bucket, MeshAnswer
from linkweather.errors import MessageError, OperatorError
from linkweather.mesh import Mesh
from linkweather.messages import AnyReport, CapacityReport, Status, decode, encode
from linkweather.mqtt import Broker, Connection, parse_broker

log = logging.getLogger(__name__)

JOURNAL_FILE = "journal.duckdb"
DRAIN_LIMIT_S = 10.0
PRUNE_INTERVAL_S = 3600.0
_POLL_S = 0.02


class Daemon:
    """The parts. Construction opens the journal and the API's port; `run` once, then `close`.

    Both raise OperatorError: an invalid mesh, a journal in use, a taken port, a missing program.
    """

    def __init__(self, settings: CollectorSettings) -> None:
        self._settings = settings
        self._mesh_news = asyncio.Event()
        self._mesh = _open_mesh(settings.mesh, self._follow)
        self._links = LinkStates(self._mesh.mesh, settings.state)
        self._sites = SiteStates(self._mesh.mesh)
        self._capacities = Capacities(self._mesh.mesh, settings.capacity)
        self._bad_statuses: Counter[str] = Counter()
        self._journal = _open_journal(settings)
        try:
            self._ingest = Ingest(
                self._journal,
                publish=self._publish,
                on_committed=self._take_committed,
                sites=lambda: self._mesh.mesh.sites,
            )
            self._exporter = Exporter(self._journal, settings.influx) if settings.influx else None
            self._connection = Connection(
                _broker(settings),
                f"linkweather-collector-{socket.gethostname()}-{os.getpid()}",
                subscriptions=[topics.ALL_REPORTS, topics.ALL_STATUSES],
                handle=self._handle,
                on_connect=self._greet,
            )
            self._server = HttpServer(create_app(self._sources()), settings.api.host, settings.api.port)
        except BaseException:
            self._journal.close()
            raise

    async def run(self, stop: asyncio.Event) -> None:
        """Do everything until `stop` is set; then commit what has come, and end."""
        await asyncio.to_thread(self._rebuild)
        async with asyncio.TaskGroup() as outer:
            # The broker starts first and ends last: what is committed on the way out is still acknowledged.
            broker = await self._start_broker(outer)
            async with asyncio.TaskGroup() as inner:
                tasks = [inner.create_task(part, name=name) for name, part in self._parts()]
                log.info("the API answers at http://%s:%d", self._settings.api.host, self._settings.api.port)
                await stop.wait()
                await self._drain()
                for task in tasks:
                    task.cancel()
            if broker is not None:
                broker.cancel()

    async def close(self) -> None:
        """Let go of everything; nothing that is being written is cut off."""
        await asyncio.get_running_loop().shutdown_default_executor()
        self._server.close()
        if self._exporter is not None:
            self._exporter.close()
        self._journal.close()

    def reread_mesh(self) -> None:
        """Look at the mesh file now (SIGHUP)."""
        self._mesh.reread()

    def _parts(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        yield "connection", self._connection.run()
        yield "ingest", self._ingest.run()
        yield "api", self._server.run()
        yield "mesh file", self._mesh.watch()
        yield "mesh publisher", self._publish_mesh()
        yield "retention", self._prune()
        if self._exporter is not None:
            yield "exporter", self._exporter.run()

    async def _start_broker(self, tasks: asyncio.TaskGroup) -> asyncio.Task[None] | None:
        settings = self._settings
        if settings.broker != EMBEDDED:
            return None
        broker = EmbeddedBroker(Listen(settings.broker_port, settings.broker_socket), settings.data_dir)
        await broker.start()
        return tasks.create_task(broker.run(), name="broker")

    def _rebuild(self) -> None:
        """What the journal says about now; the same rows, live, would have given the same state."""
        now = datetime.now(UTC)
        since = {kind: now - timedelta(seconds=age_s) for kind, age_s in self._links.horizons_s.items()}
        for moment, group in itertools.groupby(self._journal.last_rows(since), key=attrgetter("at")):
            recorded, at = list(group), moment.timestamp()
            self._links.observe(at, [one.row for one in recorded])
            for site in {one.site for one in recorded}:
                self._sites.reported(site, at)
        for told in self._journal.capacities():
            self._capacities.observe(told.site, told.at.timestamp(), [told.row])

    def _handle(self, topic: str, payload: bytes) -> None:
        parsed = topics.parse(topic)
        if parsed is None or parsed.name != "status":
            self._ingest.handle(topic, payload)
            return
        try:
            self._sites.status(parsed.site, decode(Status, payload))
        except MessageError as error:
            self._bad_statuses[f"status_{error.reason}"] += 1

    def _take_committed(self, reports: list[tuple[str, AnyReport]]) -> None:
        for site, report in reports:
            at = report.at.timestamp()
            if isinstance(report, CapacityReport):
                self._capacities.observe(site, at, report.devices)
            self._links.observe(at, report.links)
            self._sites.reported(site, at)

    def _greet(self) -> None:
        # The broker tells every retained status again; one that it has forgotten is no longer known.
        self._sites.forget_statuses()
        self._mesh_news.set()

    def _follow(self, mesh: Mesh) -> None:
        self._links.use(mesh)
        self._sites.use(mesh)
        self._capacities.use(mesh)
        self._mesh_news.set()

    async def _publish(self, topic: str, payload: bytes) -> bool:
        return await self._connection.publish(topic, payload)

    async def _publish_mesh(self) -> None:
        while True:
            await self._mesh_news.wait()
            self._mesh_news.clear()
            # Without a broker nothing is lost: connecting makes it news again.
            await self._connection.publish(topics.MESH, encode(self._mesh.mesh), retain=True)

    async def _prune(self) -> None:
        while True:
            await asyncio.to_thread(self._journal.prune, datetime.now(UTC))
            await asyncio.sleep(PRUNE_INTERVAL_S)

    async def _drain(self) -> None:
        deadline = time.monotonic() + DRAIN_LIMIT_S
        while self._ingest.waiting_bytes and time.monotonic() < deadline:  # noqa: ASYNC110 – emptied in a busy loop
            await asyncio.sleep(_POLL_S)

    def _sources(self) -> Sources:
        token_file = self._settings.api.token_file
        return Sources(
            now=time.time,
            links=self._links.links,
            link=self._links.link,
            sites=self._sites.sites,
            history=self._history,
            mesh=self._mesh_answer,
            push_mesh=self._push_mesh,
            not_ready=self._not_ready,
            registry=self._registry,
            token=_token(token_file) if token_file else None,
        )

    def _mesh_answer(self) -> MeshAnswer:
        mesh = self._mesh.mesh
        return MeshAnswer(mesh=mesh, links=sum(1 for _ in mesh.pairs()), refused=self._mesh.refused)

    async def _push_mesh(self, text: str) -> None:
        self._mesh.replace(text)

    async def _history(self, asked: HistoryQuestion) -> list[Bucket]:
        buckets = await asyncio.to_thread(self._journal.history, **asdict(asked))
        return [Bucket(at=row.at, count=row.n, min=row.min, p50=row.p50, p95=row.p95, max=row.max) for row in buckets]

    def _not_ready(self) -> list[str]:
        reasons = []
        if not self._connection.connected:
            reasons.append(self._connection.last_error or "the broker is not connected yet")
        if self._ingest.last_error:
            reasons.append(self._ingest.last_error)
        return reasons

    async def _registry(self) -> CollectorRegistry:
        lag_rows = await asyncio.to_thread(self._exporter.lag_rows) if self._exporter else 0
        return metrics.registry(self._readings(lag_rows))

    def _readings(self, lag_rows: int) -> metrics.Readings:
        now, ingest, exporter = time.time(), self._ingest, self._exporter
        return metrics.Readings(
            links=self._links.links(now),
            sites=self._sites.sites(now),
            broker_connected=self._connection.connected,
            reports=ingest.reports,
            rows=ingest.rows,
            duplicates=ingest.duplicates,
            overflowed=ingest.overflowed,
            refused={**ingest.refused, **self._bad_statuses},
            waiting_bytes=ingest.waiting_bytes,
            last_commit_s=ingest.last_commit_s,
            exporter={
                "exported_rows": exporter.exported,
                "set_aside_rows": exporter.set_aside,
                "lag_rows": lag_rows,
                "failing": float(bool(exporter.last_error)),
            }
            if exporter
            else {},
        )


async def run(settings: CollectorSettings) -> None:
    """Run a collector until SIGTERM or SIGINT. Raises OperatorError, also out of any of its tasks."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    daemon = Daemon(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, daemon.reread_mesh)
    try:
        await daemon.run(stop)
    except BaseExceptionGroup as group:
        raise _operator_error(group) or group from None
    finally:
        await daemon.close()


def _operator_error(group: BaseExceptionGroup[BaseException]) -> OperatorError | None:
    """The operator's mistake among what ended the tasks, if that is what did."""
    for error in group.exceptions:
        found = _operator_error(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, OperatorError):
            return found
    return None


def _open_mesh(path: Path, follow: Callable[[Mesh], None]) -> MeshFile:
    if not path.is_file():
        raise OperatorError(f"mesh = '{path}': there is no such file: write one, or name another with --mesh")
    return MeshFile(path, follow)


def _open_journal(settings: CollectorSettings) -> Journal:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"data_dir = '{settings.data_dir}': cannot be made: {error.strerror}") from None
    path = settings.data_dir / JOURNAL_FILE
    return Journal(path, memory_limit_mb=settings.journal.memory_limit_mb, keep_days=settings.journal.keep_days)


def _broker(settings: CollectorSettings) -> Broker:
    if settings.broker == EMBEDDED:
        return Broker("mqtt", HOST, settings.broker_port)
    return parse_broker(settings.broker)


def _token(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise OperatorError(f"api.token_file = '{path}': cannot be read: {error.strerror}") from None
    if not token:
        raise OperatorError(f"api.token_file = '{path}': is empty; a token was expected")
    return token
