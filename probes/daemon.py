"""A site's daemon: wires the mesh, the measurements, the outbox and MQTT together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final, Literal

from linkweather import topics
from linkweather.errors import MessageError
from linkweather.mesh import STAMP_PORT, LatencyTests, Mesh
from linkweather.messages import (
    Answer,
    Committed,
    Invite,
    LatencyReport,
    LatencyRow,
    Status,
    ThroughputReport,
    ThroughputRow,
    decode,
    encode,
)
from linkweather.mqtt import Connection, Will, parse_broker
from probes import schedule
from probes.latency.keys import read_key
from probes.latency.reflector import Reflector
from probes.latency.sender import Peer, Sender
from probes.membership import Membership
from probes.outbox import Depth, Outbox
from probes.publisher import Publisher
from probes.settings import ProbeSettings
from probes.throughput.exchange import Exchange, Serving
from probes.throughput.lease import Lease
from probes.throughput.output import Build

log = logging.getLogger(__name__)

STATUS_EVERY_S: Final = 10.0
GOODBYE_LIMIT_S: Final = 2.0


class Daemon:
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
        self._sender = Sender(self._site, LatencyTests(), on_window=self._latency, key=self._key, bind=settings.bind)
        self._port_changed = asyncio.Event()
        self._turns_changed = asyncio.Event()
        self._status_due = asyncio.Event()
        self._exchange = self._make_exchange()
        self._handlers: Mapping[str, Callable[[str, bytes], None]] = {
            "committed": self._committed,
            "invite": lambda by, payload: self._exchange.handle_invite(by, decode(Invite, payload)),
            "answer": lambda by, payload: self._exchange.handle_answer(by, decode(Answer, payload)),
        }
        # What could not be understood, by reason.
        self.ignored: Counter[str] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Measure and publish until `stop` is set; then settle what is under way, and say goodbye."""
        if self._membership.restore():
            self._follow()
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._sender.run(), name="latency sender")
                working = [
                    group.create_task(self._reflect(), name="reflector"),
                    group.create_task(self._exchange.run(), name="exchange"),
                    group.create_task(self._take_turns(), name="turns"),
                    group.create_task(self._tell_status(), name="status"),
                    group.create_task(self._publisher.run(), name="publisher"),
                ]
                connection = group.create_task(self._connection.run(), name="mqtt")
                await stop.wait()
                self._sender.stop()
                await asyncio.wait([sender], timeout=GOODBYE_LIMIT_S)
                await self._publish_status("offline")
                for task in (sender, *working, connection):
                    task.cancel()
        finally:
            self._outbox.close()

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
            ),
            handle=self._handle,
            on_connect=self._connected,
            will=Will(topics.status(self._site), encode(Status(state="offline"))),
        )

    def _make_exchange(self) -> Exchange:
        settings = self._settings
        first, last = settings.throughput_ports
        return Exchange(
            self._site,
            publish=self._connection.publish,
            lease=Lease(),
            settings=Serving(settings.data_dir / "keys", next(iter(settings.bind), None), range(first, last + 1)),
            build=self._iperf3,
            on_start=self._sender.mark_loaded,
            on_end=lambda _: self._sender.mark_loaded(None),
        )

    def _connected(self) -> None:
        self._publisher.start_over()
        self._status_due.set()

    def _handle(self, topic: str, payload: bytes) -> None:
        parsed = topics.parse(topic)
        try:
            if topic == topics.MESH:
                self._mesh(payload)
            elif parsed is not None and parsed.name in self._handlers:
                self._handlers[parsed.name](parsed.detail, payload)
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
        self._sender.set_peers(_peers(mesh, self._site, {"stamp"}), mesh.latency)
        self._exchange.mesh = mesh
        self._port_changed.set()
        self._turns_changed.set()

    def _latency(self, at: datetime, rows: list[LatencyRow]) -> None:
        if rows:
            self._report(
                "latency", lambda boot, seq: encode(LatencyReport(boot=boot, seq=seq, at=at, links=tuple(rows)))
            )

    def _report(self, kind: str, made: Callable[[str, int], bytes]) -> None:
        self._outbox.add(kind, made)
        self._publisher.wake()

    async def _reflect(self) -> None:
        """Answer probes at the port that the mesh gives this site."""
        while True:
            self._port_changed.clear()
            port = self._port()
            reflector = Reflector(port, bind=self._settings.bind, key=self._reflector_key())
            async with asyncio.TaskGroup() as group:
                answering = group.create_task(reflector.run(), name=f"reflector[{port}]")
                while self._port() == port:
                    await self._port_changed.wait()
                    self._port_changed.clear()
                answering.cancel()

    async def _take_turns(self) -> None:
        """Test the throughput of our incoming links, each when its turn comes."""
        while True:
            self._turns_changed.clear()
            mesh = self._membership.mesh
            turn = schedule.next_turn(time.time(), self._site, mesh) if mesh else None
            wait_s = max(0.0, turn.start_s - time.time()) if turn else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._turns_changed.wait()
            except TimeoutError:
                if mesh and turn:
                    await self._test(mesh, turn.src)

    async def _test(self, mesh: Mesh, src: str) -> None:
        row = await self._exchange.measure(src, mesh.sites[src].address, mesh.throughput)
        if isinstance(row, ThroughputRow):
            at = datetime.now(UTC)
            self._report(
                "throughput", lambda boot, seq: encode(ThroughputReport(boot=boot, seq=seq, at=at, links=(row,)))
            )
        else:
            log.info("the throughput test of %s → %s is postponed: %s", src, self._site, row.reason)

    def _port(self) -> int:
        mesh = self._membership.mesh
        return mesh.sites[self._site].port if mesh and self._site in mesh.sites else STAMP_PORT

    def _reflector_key(self) -> bytes | None:
        mesh = self._membership.mesh
        return self._key if mesh and mesh.latency.authenticated else None

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
        return Status(
            state=state,
            version=version("linkweather"),
            capabilities=("latency", "throughput") if self._iperf3 else ("latency",),
            outbox_reports=depth.reports,
            dropped_reports=depth.dropped_reports,
            refused_reports=depth.refused_reports,
        )


def _peers(mesh: Mesh, site: str, methods: Container[str]) -> list[Peer]:
    """The peers of a site that are measured by these methods; none when the mesh has no such site."""
    found = ((name, mesh.sites[name]) for name in mesh.peers(site))
    return [Peer(name, peer.address, peer.port) for name, peer in found if peer.method in methods]
