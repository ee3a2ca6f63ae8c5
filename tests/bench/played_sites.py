"""N sites played by one cheap process: what real probes publish, and how they send it again (`probes.delivery.flight`).

A site has a retained status with a will, a latency report with all its links every interval, a throughput report as a
destination whenever the tournament says so, a path row of each link every five minutes, those of ten seconds in one
report, and an outbox, in memory, that a report leaves only when it is committed. Latency reports are joined from rows
that are encoded once.
"""

from __future__ import annotations

import math
import random
import secrets
import selectors
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from linkweather.wire import Committed, LatencyReport, PathReport, Status, ThroughputReport, decode, encode, topics
from probes.delivery.flight import COLLECTOR_WAIT_S, FRESH_REPORTS, WINDOW_REPORTS, Flight
from probes.path.tracing import PEERS_A_ROW
from tests.bench.fleet_map import PATH_EVERY_S, Fleet, FleetMap, LatencyRows, name, pair_of, path_row, throughput_row

_TICK_S = 0.5
_RETRY_MOST_S = 15.0


class PlayedReport(NamedTuple):
    """A report in an outbox: `made` is monotonic, `peer` its only link's other end, or its first path's turn."""

    kind: str
    at: datetime
    made: float
    rows: int
    peer: int = -1
    live: bool = True


@dataclass(slots=True)
class PlayedSite:
    """One site's outbox and connection."""

    number: int
    links: int
    boot: str = field(default_factory=lambda: secrets.token_hex(8))
    next_seq: int = 0
    box: dict[int, PlayedReport] = field(default_factory=dict)
    flight: Flight = field(default_factory=Flight)
    up: bool = False
    retry_s: float = 0.5
    retry_at: float | None = None
    client: paho.Client | None = None

    def add(self, waiting: PlayedReport) -> None:
        """Number a report and keep it."""
        self.box[self.next_seq] = waiting
        self.next_seq += 1

    def due(self, now: float) -> list[int]:
        """Which reports to send now, as a probe's publisher does."""
        newest = list(islice(reversed(self.box), FRESH_REPORTS))[::-1]
        return self.flight.due(list(islice(self.box, WINDOW_REPORTS)), newest, now)


class Played(NamedTuple):
    """What was played so far; `waits_s` are those of the live latency reports committed since the last asking."""

    at: float  # monotonic
    up: int
    waiting: int
    processor_s: float
    counts: Counter[str]  # made, rows, sent, committed, committed_rows, refused
    waits_s: list[float]


class SitesPlayer:
    """Plays all sites on one loop, until `quit`; what comes through `pipe` is `(name of a method, arguments …)`."""

    def __init__(self, fleet: Fleet, port: int, pipe: Connection[Any, Any]) -> None:
        self._fleet, self._port, self._pipe = fleet, port, pipe
        self._map, self._rng = FleetMap(fleet), random.Random(fleet.seed)
        self._rows = LatencyRows(fleet, self._map.rtt_s)
        self._sites = [PlayedSite(site, len(fleet.peers(site))) for site in range(fleet.sites)]
        self._sockets = selectors.DefaultSelector()
        self._counts: Counter[str] = Counter()
        self._waits_s: list[float] = []
        self._playing = True

    def run(self) -> None:
        """Play."""
        for site in self._sites:
            self._connect(site)
            self._pump(0)
        agenda, tick = list(self._agenda()), 0.0
        while self._playing:
            self._pump(0.02)
            now = time.monotonic()
            for step in agenda:
                step(now)
            if now >= tick:
                tick = now + _TICK_S
                self._maintain(now)
            while self._pipe.poll():
                method, *arguments = self._pipe.recv()
                getattr(self, method)(*arguments)

    def figures(self) -> None:
        """Say what was played."""
        waiting = sum(len(site.box) for site in self._sites)
        up = sum(site.up for site in self._sites)
        waits_s, self._waits_s = self._waits_s, []
        self._pipe.send(Played(time.monotonic(), up, waiting, time.process_time(), self._counts.copy(), waits_s))

    def backlog(self, seconds: float) -> None:
        """Come back from an outage: what was measured meanwhile, as the outboxes have it, through new connections."""
        now = datetime.now(UTC)
        for step in range(int(seconds / self._fleet.interval_s)):
            at = now - timedelta(seconds=seconds - step * self._fleet.interval_s)
            for site in self._sites:
                self._add(site, PlayedReport("latency", at, time.monotonic(), site.links, live=False))
        for site in self._sites:
            site.flight.forget()
            self._say_status(site)
            self._send_due(site)

    def quit(self) -> None:
        """End."""
        self._playing = False

    # What is measured.

    def _agenda(self) -> Iterator[Callable[[float], None]]:
        fleet, start = self._fleet, time.monotonic() + 1
        for site in self._sites:
            first = start + self._rng.random() * fleet.interval_s
            yield _every(fleet.interval_s, first, partial(self._measure_all, site))
            together = math.ceil(site.links / PEERS_A_ROW)
            gap_s = together * PATH_EVERY_S / site.links
            first = start + self._rng.random() * gap_s
            yield _every(gap_s, first, partial(self._measure_paths, site, together))
        yield _every(fleet.test_every_s / fleet.links, start, self._measure_pair)

    def _measure_all(self, site: PlayedSite, _turn: int) -> None:
        self._measure(site, "latency")

    def _measure_paths(self, site: PlayedSite, together: int, turn: int) -> None:
        self._measure(site, "path", turn * together, together)

    def _measure_pair(self, turn: int) -> None:
        near, far = pair_of(turn, self._fleet)
        self._measure(self._sites[near], "throughput", far, 1)

    def _measure(self, site: PlayedSite, kind: str, peer: int = -1, rows: int = 0) -> None:
        rows = rows or site.links
        self._add(site, PlayedReport(kind, datetime.now(UTC), time.monotonic(), rows, peer))
        self._send_due(site)

    def _add(self, site: PlayedSite, waiting: PlayedReport) -> None:
        site.add(waiting)
        self._counts.update(made=1, rows=waiting.rows)

    def _payload(self, site: PlayedSite, seq: int, waiting: PlayedReport) -> bytes:
        keys: dict[str, Any] = {"boot": site.boot, "seq": seq, "at": waiting.at}
        if waiting.kind == "throughput":
            row = throughput_row(self._map, waiting.peer, site.number, seq)
            return encode(ThroughputReport(**keys, links=(row,)))
        if waiting.kind == "path":
            peers = self._fleet.peers(site.number)
            turns = range(waiting.peer, waiting.peer + waiting.rows)
            rows = [path_row(self._map, site.number, peers[turn % len(peers)]) for turn in turns]
            return encode(PathReport(**keys, links=tuple(rows)))
        head = encode(LatencyReport(**keys, links=())).removesuffix(b"]}")
        return head + self._rows.of(site.number, seq) + b"]}"

    # MQTT.

    def _send_due(self, site: PlayedSite) -> None:
        if not site.up or site.client is None:
            return
        now = time.monotonic()
        due = site.due(now)
        for seq in due:
            waiting = site.box[seq]
            topic = topics.report(name(site.number), waiting.kind)
            site.client.publish(topic, self._payload(site, seq, waiting), qos=1)
        site.flight.sent(due, now)
        self._counts["sent"] += len(due)

    def _handle(self, site: PlayedSite, topic: str, payload: bytes) -> None:
        if topic == topics.MESH:  # a collector came back
            site.flight.forget()
            self._send_due(site)
            return
        message, now = decode(Committed, payload), time.monotonic()
        if message.boot == site.boot:
            refused = [refusal.seq for refusal in message.refused]
            self._counts["refused"] += len(refused)
            for seq in message.seqs:
                self._committed(site.box.pop(seq, None), now)
            for seq in refused:
                site.box.pop(seq, None)
            site.flight.settled([*message.seqs, *refused], now)
            self._send_due(site)

    def _committed(self, waiting: PlayedReport | None, now: float) -> None:
        if waiting is not None:
            self._counts.update(committed=1, committed_rows=waiting.rows)
            if waiting.live and waiting.kind == "latency":
                self._waits_s.append(now - waiting.made)

    def _connect(self, site: PlayedSite) -> None:
        client = paho.Client(CallbackAPIVersion.VERSION2, f"probe-{name(site.number)}", protocol=paho.MQTTv5)
        client.max_inflight_messages_set(0)
        client.will_set(topics.status(name(site.number)), encode(Status(state="offline")), qos=1, retain=True)
        client.on_connect = lambda *_: self._connected(site)
        client.on_disconnect = lambda *_: self._lost(site)
        client.on_message = lambda _client, _data, message: self._handle(site, message.topic, bytes(message.payload))
        client.on_socket_open = lambda _client, _data, peer: self._watch(site, peer)
        client.on_socket_close = lambda _client, _data, peer: self._forget(peer)
        client.on_socket_register_write = lambda _client, _data, peer: self._watch(site, peer, selectors.EVENT_WRITE)
        client.on_socket_unregister_write = lambda _client, _data, peer: self._watch(site, peer)
        site.client = client
        try:
            client.connect("127.0.0.1", self._port, clean_start=True)
        except OSError:
            self._lost(site)

    def _watch(self, site: PlayedSite, peer: Any, more: int = 0) -> None:
        change = self._sockets.modify if peer in self._sockets.get_map() else self._sockets.register
        change(peer, selectors.EVENT_READ | more, site)

    def _forget(self, peer: Any) -> None:
        self._sockets.unregister(peer)

    def _connected(self, site: PlayedSite) -> None:
        assert site.client is not None
        subscribed = (topics.MESH, topics.committed(name(site.number)))
        site.client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in subscribed])
        self._say_status(site)
        site.up, site.retry_s = True, 0.5
        site.flight.forget()
        site.flight.hold(time.monotonic() + COLLECTOR_WAIT_S)
        self._send_due(site)

    def _say_status(self, site: PlayedSite) -> None:
        assert site.client is not None
        status = Status(state="online", at=datetime.now(UTC), version="0.1.0", outbox_reports=len(site.box))
        site.client.publish(topics.status(name(site.number)), encode(status), qos=1, retain=True)

    def _lost(self, site: PlayedSite) -> None:
        site.up = False
        if site.retry_at is None:
            site.retry_at = time.monotonic() + site.retry_s * self._rng.uniform(0.5, 1.0)
            site.retry_s = min(2 * site.retry_s, _RETRY_MOST_S)

    def _pump(self, wait_s: float) -> None:
        for key, ready in self._sockets.select(wait_s):
            client = key.data.client
            if ready & selectors.EVENT_WRITE:
                client.loop_write()
            if ready & selectors.EVENT_READ:
                client.loop_read(50)

    def _maintain(self, now: float) -> None:
        """Keep connections alive, make new ones, and send again what is due again."""
        for site in self._sites:
            if site.client is not None:
                site.client.loop_misc()
            if site.retry_at is not None and now >= site.retry_at:
                site.retry_at = None
                self._connect(site)
            if site.flight.wait_s(now) == 0.0:
                self._send_due(site)


def _every(gap_s: float, first: float, act: Callable[[int], None]) -> Callable[[float], None]:
    """A step that acts once for each `gap_s` since `first`, with the number of the turn."""
    turn = 0

    def step(now: float) -> None:
        nonlocal turn
        while now >= first + turn * gap_s:
            act(turn)
            turn += 1

    return step


def play(fleet: Fleet, port: int, pipe: Connection[Any, Any]) -> None:
    """The process: play the sites at a broker."""
    SitesPlayer(fleet, port, pipe).run()
