"""A site's daemon: wires the mesh, the measurements, the outbox and MQTT together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Literal

from linkweather.containment import faults, overflows
from linkweather.errors import MessageError, OperatorError
from linkweather.keys.mesh_key import read_keys
from linkweather.mqtt import Connection, Will
from linkweather.private_folder import make_private
from linkweather.wire import (
    Answer,
    Claim,
    Committed,
    Invite,
    LatencyReport,
    LatencyRow,
    LinkWeights,
    PathReport,
    PathRow,
    Presence,
    Status,
    ThroughputReport,
    ThroughputRow,
    decode,
    encode,
    topics,
)
from linkweather.wire.mesh_parts import MeshAssembly, MeshHead, MeshOrigin
from probes.delivery.flight import COLLECTOR_WAIT_S
from probes.delivery.journal_choice import JournalChoice
from probes.delivery.outbox import Outbox
from probes.delivery.publisher import Publisher
from probes.disk_queue import DiskQueue
from probes.latency.stamp import key_id
from probes.latency.station import Station
from probes.mesh_cache import MeshCache
from probes.path.route_store import RouteStore
from probes.path.tracer_process import can_trace
from probes.path.tracing import Tracing
from probes.presence import SitePresence, client_id
from probes.settings import ProbeSettings
from probes.site_throughput import SiteThroughput
from probes.status_publisher import StatusPublisher
from probes.throughput.iperf3_output import Build

log = logging.getLogger(__name__)


class ProbeDaemon:
    """One site. `run` measures and publishes until it is stopped; each report is in the outbox before it is sent.

    The constructor opens the files in the data folder, and raises OperatorError for settings that cannot be used.
    `iperf3` is the installed one, None where there is none that can be used; then `throughput_problem` says why.
    """

    def __init__(self, settings: ProbeSettings, *, iperf3: Build | None, throughput_problem: str | None = None) -> None:
        self._settings = settings
        self._iperf3 = iperf3
        self._throughput_problem = throughput_problem
        self._site = settings.site
        self._keys = read_keys(settings.key_file) if settings.key_file else ()
        make_private(settings.data_dir, "data_dir")
        self._connection = self._connect()
        self._outbox = Outbox(
            settings.data_dir / "outbox.sqlite",
            new_boot=lambda: secrets.token_hex(8),
            max_bytes=settings.outbox_max_bytes,
        )
        self._disk = DiskQueue()
        self._mesh_cache = MeshCache(self._site, settings.data_dir / "mesh.json", has_key=bool(self._keys))
        self._assembly = MeshAssembly()
        self._journal_choice = JournalChoice(self._site, settings.data_dir / "followed-journal")
        self._publisher = Publisher(
            self._outbox, self._site, self._connection.publish, collector_wait_s=COLLECTOR_WAIT_S
        )
        self._latency = Station(
            self._site, on_window=self._report_latency, keys=self._keys, bind=settings.bind, allow=settings.allow
        )
        rng = random.Random()  # noqa: S311 - it spreads load, and hides nothing
        self._throughput = self._make_throughput(rng)
        self._routes = RouteStore(settings.data_dir / "routes.sqlite")
        self._path = Tracing(self._site, self._report_paths, memory=self._routes, bind=settings.bind, rng=rng)
        self._presence = self._make_presence()
        self._statuses = StatusPublisher(
            self._site,
            settings.data_dir,
            self._connection,
            self._presence,
            self._status,
            has_mesh=lambda: self._mesh_cache.mesh is not None,
        )
        self._handlers = self._make_handlers()
        self._reports: Counter[str] = Counter()
        # Messages that could not be decoded, by reason.
        self.ignored: Counter[str] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Measure and publish until `stop` is set; then wait for probes under way, and publish `offline`."""
        if self._mesh_cache.restore():
            self._apply_mesh()
        try:
            async with self._serving_metrics(), asyncio.TaskGroup() as group:
                latency = group.create_task(self._latency.run(stop, self._presence.say_goodbye), name="latency")
                statuses = group.create_task(self._statuses.run(), name="status")
                paths = group.create_task(self._path.run(), name="path")
                others = [
                    group.create_task(self._throughput.scheduler.run(), name="throughput"),
                    group.create_task(self._disk.run(), name="disk"),
                    group.create_task(self._publisher.run(), name="publisher"),
                    group.create_task(self._connection.run(), name="mqtt"),
                ]
                await asyncio.wait([latency])
                paths.cancel()  # it reports what it holds
                await asyncio.wait([paths])
                await self._disk.drain()
                statuses.cancel()  # an `online` under way must not come after the last word
                await asyncio.wait([statuses])
                await self._statuses.publish("offline")
                for task in others:
                    task.cancel()
        finally:
            self._outbox.close()
            self._throughput.close()
            self._routes.close()

    def _serving_metrics(self) -> contextlib.AbstractAsyncContextManager[None]:
        if self._settings.metrics.port is None:
            return contextlib.nullcontext()
        from probes import probe_metrics  # noqa: PLC0415 - a probe that nothing scrapes does without

        def read() -> probe_metrics.ProbeReadings:
            return probe_metrics.ProbeReadings(
                status=self._status("online"),
                broker_connected=self._connection.connected,
                reports=self._reports,
                ignored=self.ignored,
                dropped_datagrams=self._latency.dropped,
                faults=faults(),
            )

        return probe_metrics.serving(self._settings.metrics, read)

    def reload(self) -> None:
        """Use the certificates and the mesh's keys that files have now (SIGHUP)."""
        self._connection.reconnect()
        if self._settings.key_file is None:
            return
        try:
            self._keys = read_keys(self._settings.key_file)
        except OperatorError as error:
            log.error("%s; the keys from before stay", error)
            return
        self._latency.set_keys(self._keys)
        self._presence.apply_key(key_id(self._keys[0]))
        self._statuses.due.set()

    def _connect(self) -> Connection:
        return Connection(
            self._settings.broker.address,
            client_id(self._site, self._settings.data_dir),
            subscriptions=topics.read_by(self._site),
            handle=self._handle,
            on_connect=self._on_connect,
            will=Will(topics.status(self._site), encode(Status(state="offline"))),
            rng=random.Random(),  # noqa: S311 - it spreads load, and hides nothing
        )

    def _make_throughput(self, rng: random.Random) -> SiteThroughput:
        return SiteThroughput(
            self._settings,
            self._iperf3,
            publish=self._connection.publish,
            on_row=self._report_throughput,
            latency=self._latency,
            rng=rng,
        )

    def _make_presence(self) -> SitePresence:
        return SitePresence(
            self._site,
            secrets.token_hex(8),
            key_id(self._keys[0] if self._keys else None),
            publish=self._connection.publish,
            neighbours=self._latency,
            step_back=self._connection.step_back,
            say_again=lambda: self._statuses.due.set(),  # noqa: PLW0108 - made later
        )

    def _make_handlers(self) -> Mapping[str, Callable[[str, bytes], None]]:
        """Who takes which message, by the name of its topic; from or for which site, and its payload."""
        presence, negotiator = self._presence, self._throughput.negotiator
        return {
            "mesh": lambda _, payload: self._handle_head(decode(MeshHead, payload)),
            "part": lambda number, payload: self._take_mesh(self._assembly.take_part(number, payload)),
            "committed": self._handle_committed,
            "presence": lambda site, payload: presence.handle(
                site, decode(Presence, payload), retained=self._connection.retained
            ),
            "restart": lambda site, payload: presence.handle_restart(site, decode(Presence, payload)),
            "invite": lambda by, payload: negotiator.handle_invite(by, decode(Invite, payload)),
            "answer": lambda by, payload: negotiator.handle_answer(by, decode(Answer, payload)),
            "claim": lambda by, payload: negotiator.handle_claim(by, decode(Claim, payload)),
            "weights": lambda _, payload: self._throughput.scheduler.apply_weights(decode(LinkWeights, payload)),
        }

    def _on_connect(self) -> None:
        self._throughput.negotiator.on_connect()
        self._publisher.on_connect(self._connection.max_packet_bytes)
        self._presence.on_connect()
        self._statuses.due.set()

    def _handle(self, topic: str, payload: bytes) -> None:
        parsed = topics.parse(topic)
        try:
            topics.check_size(parsed.name if parsed else "mesh", payload)
            if topic == topics.MESH:
                self._handle_mesh(payload)
            elif parsed is not None and parsed.name in self._handlers:
                self._handlers[parsed.name](parsed.detail or parsed.site, payload)
        except MessageError as error:
            self.ignored[error.reason] += 1
            log.debug("a message on %s is ignored: %s", topic, error)

    def _handle_mesh(self, payload: bytes) -> None:
        if self._takes(decode(MeshOrigin, payload)):
            # A collector that comes back says so: it needs again what it did not commit.
            self._publisher.start_over()

    def _handle_head(self, head: MeshHead) -> None:
        if self._takes(head):
            self._take_mesh(self._assembly.take_head(head))

    def _takes(self, origin: MeshOrigin) -> bool:
        """Whether a mesh is of the journal that we follow; another one is counted."""
        takes = self._journal_choice.takes_mesh(origin)
        if not takes:
            self.ignored["other_journal"] += 1
        elif self._journal_choice.unkept:
            self._disk.put("followed journal", self._journal_choice.keep)
        return takes

    def _take_mesh(self, payload: bytes | None) -> None:
        if payload is not None and self._mesh_cache.accept(payload):
            self._apply_mesh()
            self._disk.put("mesh cache", self._mesh_cache.keep)

    def _handle_committed(self, _: str, payload: bytes) -> None:
        committed = decode(Committed, payload)
        if self._journal_choice.takes_committed(committed.journal):
            self._publisher.handle_committed(committed)
        else:
            self.ignored["other_journal"] += 1

    def _apply_mesh(self) -> None:
        """Measure as the present mesh says."""
        mesh = self._mesh_cache.mesh
        if mesh is None:
            return
        self._latency.apply_mesh(mesh)
        self._throughput.scheduler.apply_mesh(mesh)
        self._path.apply_mesh(mesh)
        self._statuses.due.set()  # it says when the links' next tests are due

    def _report_latency(self, at: datetime, rows: list[LatencyRow]) -> None:
        for row in rows:
            self._throughput.scheduler.notice_latency(row)
        self._report("latency", lambda boot, seq: encode(LatencyReport(boot=boot, seq=seq, at=at, links=tuple(rows))))

    def _report_throughput(self, at: datetime, row: ThroughputRow) -> None:
        self._report("throughput", lambda boot, seq: encode(ThroughputReport(boot=boot, seq=seq, at=at, links=(row,))))

    def _report_paths(self, rows: Sequence[PathRow]) -> None:
        for row in rows:
            self._throughput.scheduler.notice_path(row)
        at = datetime.now(UTC)
        self._report("path", lambda boot, seq: encode(PathReport(boot=boot, seq=seq, at=at, links=tuple(rows))))

    def _report(self, kind: str, encoded: Callable[[str, int], bytes]) -> None:
        self._reports[kind] += 1
        if not self._disk.put("report", partial(self._outbox.add, kind, encoded), then=self._publisher.wake):
            self._outbox.note_dropped()

    def _status(self, state: Literal["online", "offline"]) -> Status:
        depth = self._outbox.depth()
        budget_bytes, left_bytes = self._throughput.budgets.state(time.time()) or (None, None)
        return Status(
            state=state,
            version=version("linkweather"),
            capabilities=("latency", *["throughput"] * bool(self._iperf3), *["path"] * can_trace()),
            journal=self._journal_choice.journal,
            outbox_reports=depth.reports,
            dropped_reports=depth.dropped_reports,
            refused_reports=depth.refused_reports,
            oversized_reports=depth.oversized_reports,
            damaged_reports=depth.damaged_reports,
            boots=self._outbox.boots(),
            dropped_datagrams=self._latency.dropped.total(),
            throughput_tests=dict(self._throughput.scheduler.ran),
            budget_bytes_per_day=budget_bytes,
            budget_left_bytes=left_bytes,
            next_tests=self._throughput.scheduler.next_tests() if state == "online" else (),
            throughput_problem=self._throughput_problem,
            overflows=dict(overflows()),
            unpublished=dict(self._connection.refusals.counts),
            damaged_files=self._statuses.damaged_files,
            failed_authentication=self._latency.dropped.unauthenticated(),
        )
