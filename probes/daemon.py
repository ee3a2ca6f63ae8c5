"""A site's daemon: wires the mesh, the measurements, the outbox and MQTT together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final, Literal

from linkweather.broker import parse_broker
from linkweather.errors import MessageError
from linkweather.mqtt import Connection, Will
from linkweather.wire import (
    Answer,
    Claim,
    Committed,
    Invite,
    LatencyReport,
    LatencyRow,
    PathReport,
    PathRow,
    Status,
    ThroughputReport,
    ThroughputRow,
    decode,
    encode,
    topics,
)
from probes.latency.stamp import read_key
from probes.latency.station import Station
from probes.mesh_cache import Membership
from probes.outbox import Depth, Outbox
from probes.path.route_store import RouteStore
from probes.path.tracer_process import can_trace
from probes.path.tracing import Tracing
from probes.publisher import Publisher
from probes.settings import ProbeSettings
from probes.throughput.agenda import Attention
from probes.throughput.budget import BudgetStore
from probes.throughput.iperf3_ends import ServingSettings
from probes.throughput.iperf3_output import Build
from probes.throughput.leases import Lease
from probes.throughput.negotiation import Negotiator
from probes.throughput.scheduler import ThroughputScheduler

log = logging.getLogger(__name__)

STATUS_EVERY_S: Final = 10.0


class ProbeDaemon:
    """One site. `run` measures and publishes until cancelled; what it measured is in the outbox before it is sent.

    Making one opens the outbox, takes the mesh of the last run, and raises OperatorError for
    settings that cannot be used.
    """

    def __init__(self, settings: ProbeSettings, *, iperf3: Build | None) -> None:
        self._settings = settings
        self._iperf3 = iperf3
        self._site = settings.site
        self._key = read_key(settings.key_file) if settings.key_file else None
        self._connection = self._connect()
        self._outbox = Outbox(
            settings.data_dir / "outbox.sqlite",
            new_boot=lambda: secrets.token_hex(8),
            max_bytes=settings.outbox_max_bytes,
        )
        self._membership = Membership(self._site, settings.data_dir / "mesh.json", has_key=self._key is not None)
        self._publisher = Publisher(self._outbox, self._site, self._connection.publish)
        self._latency = Station(
            self._site, on_window=self._report_latency, key=self._key, bind=settings.bind, allow=settings.allow
        )
        rng = random.Random()  # noqa: S311 - it spreads load, and hides nothing
        self._ledger = BudgetStore(settings.data_dir / "ledger.sqlite", self._site)
        self._attention = Attention(rng)
        self._exchange = self._make_exchange()
        self._throughput = ThroughputScheduler(
            self._site, self._exchange, self._report_throughput, ledger=self._ledger, attention=self._attention
        )
        self._routes = RouteStore(settings.data_dir / "routes.sqlite")
        self._path = Tracing(self._site, self._report_path, memory=self._routes, bind=settings.bind, rng=rng)
        self._status_due = asyncio.Event()
        self._handlers: Mapping[str, Callable[[str, bytes], None]] = {
            "committed": self._committed,
            "invite": lambda by, payload: self._exchange.handle_invite(by, decode(Invite, payload)),
            "answer": lambda by, payload: self._exchange.handle_answer(by, decode(Answer, payload)),
            "claim": lambda by, payload: self._exchange.handle_claim(by, decode(Claim, payload)),
        }
        # What could not be understood, by reason.
        self.ignored: Counter[str] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Measure and publish until `stop` is set; then settle what is under way, and say goodbye."""
        if self._membership.restore():
            self._follow()
        try:
            async with asyncio.TaskGroup() as group:
                latency = group.create_task(self._latency.run(stop), name="latency")
                others = [
                    group.create_task(self._throughput.run(), name="throughput"),
                    group.create_task(self._path.run(), name="path"),
                    group.create_task(self._tell_status(), name="status"),
                    group.create_task(self._publisher.run(), name="publisher"),
                    group.create_task(self._connection.run(), name="mqtt"),
                ]
                await asyncio.wait([latency])
                await self._publish_status("offline")
                for task in others:
                    task.cancel()
        finally:
            self._outbox.close()
            self._ledger.close()
            self._routes.close()

    def depth(self) -> Depth:
        """How full the outbox is."""
        return self._outbox.depth()

    def _connect(self) -> Connection:
        return Connection(
            parse_broker(self._settings.broker),
            f"linkweather-{self._site}",
            subscriptions=(
                topics.MESH,
                topics.committed(self._site),
                topics.invite(self._site, "+"),
                topics.answer(self._site, "+"),
                topics.ALL_CLAIMS,
            ),
            handle=self._handle,
            on_connect=self._connected,
            will=Will(topics.status(self._site), encode(Status(state="offline"))),
            rng=random.Random(),  # noqa: S311 - it spreads load, and hides nothing
        )

    def _make_exchange(self) -> Negotiator:
        settings = self._settings
        first, last = settings.throughput_ports
        return Negotiator(
            self._site,
            publish=self._connection.publish,
            lease=Lease(),
            settings=ServingSettings(
                settings.data_dir / "keys", next(iter(settings.bind), None), range(first, last + 1)
            ),
            build=self._iperf3,
            on_start=self._latency.mark_loaded,
            on_end=self._test_ended,
            afford=self._affords,
            working_latency=self._latency.working_latency,
        )

    def _test_ended(self, _peer: str) -> None:
        self._latency.mark_loaded(None)
        self._attention.mark_loaded(time.time())

    def _affords(self, dst: str, max_bytes: int | None) -> bool:
        # What it moves in the end only the destination knows: a source counts all of it.
        return self._ledger.reserve(time.time(), self._site, dst, max_bytes) is not None

    def _connected(self) -> None:
        self._exchange.connected()
        self._publisher.start_over()
        self._status_due.set()

    def _handle(self, topic: str, payload: bytes) -> None:
        parsed = topics.parse(topic)
        try:
            if topic == topics.MESH:
                self._mesh(payload)
            elif parsed is not None and parsed.name in self._handlers:
                self._handlers[parsed.name](parsed.detail or parsed.site, payload)
        except MessageError as error:
            self.ignored[error.reason] += 1
            log.debug("a message on %s is ignored: %s", topic, error)

    def _mesh(self, payload: bytes) -> None:
        # The collector publishes the mesh whenever it comes back: what it did not commit, it needs again.
        self._publisher.start_over()
        if self._membership.accept(payload):
            self._follow()

    def _committed(self, _: str, payload: bytes) -> None:
        self._publisher.handle_committed(decode(Committed, payload))

    def _follow(self) -> None:
        """Measure as the mesh in force says."""
        mesh = self._membership.mesh
        if mesh is None:
            return
        self._latency.apply_mesh(mesh)
        self._throughput.follow(mesh)
        self._path.follow(mesh)

    def _report_latency(self, at: datetime, rows: list[LatencyRow]) -> None:
        for row in rows:
            self._throughput.notice_latency(row)
        self._report("latency", lambda boot, seq: encode(LatencyReport(boot=boot, seq=seq, at=at, links=tuple(rows))))

    def _report_throughput(self, at: datetime, row: ThroughputRow) -> None:
        self._report("throughput", lambda boot, seq: encode(ThroughputReport(boot=boot, seq=seq, at=at, links=(row,))))

    def _report_path(self, row: PathRow) -> None:
        self._throughput.notice_path(row)
        at = datetime.now(UTC)
        self._report("path", lambda boot, seq: encode(PathReport(boot=boot, seq=seq, at=at, links=(row,))))

    def _report(self, kind: str, made: Callable[[str, int], bytes]) -> None:
        self._outbox.add(kind, made)
        self._publisher.wake()

    async def _tell_status(self) -> None:
        """Keep the retained status true: at once after a connection, then when it changed."""
        told: Status | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATUS_EVERY_S):
                    await self._status_due.wait()
                    told = None
            self._status_due.clear()
            status = self._status("online")
            if status != told and await self._publish_status("online"):
                told = status

    async def _publish_status(self, state: Literal["online", "offline"]) -> bool:
        status = self._status(state).model_copy(update={"at": datetime.now(UTC)})
        return await self._connection.publish(topics.status(self._site), encode(status), retain=True)

    def _status(self, state: Literal["online", "offline"]) -> Status:
        depth = self.depth()
        budget_bytes, left_bytes = self._ledger.state(time.time()) or (None, None)
        return Status(
            state=state,
            version=version("linkweather"),
            capabilities=("latency", *["throughput"] * bool(self._iperf3), *["path"] * can_trace()),
            outbox_reports=depth.reports,
            dropped_reports=depth.dropped_reports,
            refused_reports=depth.refused_reports,
            dropped_datagrams=self._latency.dropped.total(),
            throughput_tests=dict(self._throughput.ran),
            budget_bytes_per_day=budget_bytes,
            budget_left_bytes=left_bytes,
        )
