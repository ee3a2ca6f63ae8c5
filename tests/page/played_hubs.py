"""Hubs played by one thread: what their probes would publish each second, at a real broker, for a real collector.

A link is cut, restored or made lossy while it runs; a throughput test of each link is reported once, at the start.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from linkweather.wire import (
    Hop,
    LatencyReport,
    LatencyRow,
    PathReport,
    PathRow,
    Status,
    ThroughputReport,
    ThroughputRow,
    encode,
    topics,
)
from tests import servers

INTERVAL_S = 1.0
TOKEN = "played-token"
SENT = 10
TRACED_EVERY_S = 20.0
TRACING_MOST = 20  # hubs; of more the first one alone traces, as a thousand traces a second would be no mesh
# name, region, operator, latitude, longitude
HUBS = (
    ("bj", "north", "one", 40.8, 114.9),
    ("cc", "west", "two", 29.9, 106.3),
    ("gba", "south", "one", 24.8, 113.6),
    ("gs", "west", "one", 36.0, 107.6),
    ("gz", "west", "two", 26.6, 106.7),
    ("nm", "north", "two", 41.0, 113.1),
    ("nx", "north", "two", 37.5, 105.2),
    ("yd", "south", "one", 31.1, 121.1),
)


Hub = tuple[str, str, str, float, float]


def many_hubs(number: int) -> list[Hub]:
    """So many hubs in eight regions, of three operators, around the places of HUBS."""
    places = random.Random(number)
    near = [HUBS[place % len(HUBS)] for place in range(number)]
    return [
        (
            f"s{place:03d}",
            f"{one[1]}-{place % len(HUBS) + 1}",
            ("one", "two", "three")[place % 3],
            round(one[3] + places.uniform(-2, 2), 3),
            round(one[4] + places.uniform(-2.5, 2.5), 3),
        )
        for place, one in enumerate(near)
    ]


def mesh_toml(hubs: Sequence[Hub] = HUBS, interval_s: float = INTERVAL_S) -> str:
    """The mesh file of the hubs."""
    sites = "".join(
        f'[sites.{name}]\naddress = "192.0.2.{number}"\nregion = "{region}"\noperator = "{operator}"\n'
        f"latitude = {latitude}\nlongitude = {longitude}\n"
        for number, (name, region, operator, latitude, longitude) in enumerate(hubs, 1)
    )
    return f'name = "hubs"\n[latency]\nreport_interval_s = {interval_s}\n{sites}'


@dataclass
class PlayedHubs:
    """The hubs. From its next report on a link loses the share of its probes in `lost`; `detours` go another way."""

    port: int
    names: Sequence[str] = tuple(hub[0] for hub in HUBS)
    lost: dict[tuple[str, str], float] = field(default_factory=dict)
    detours: set[tuple[str, str]] = field(default_factory=set)
    interval_s: float = INTERVAL_S
    _stop: threading.Event = field(default_factory=threading.Event)
    _seq: dict[str, int] = field(default_factory=dict)

    def cut(self, src: str, dst: str) -> None:
        """Lose all probes of a link, in both directions."""
        self.lost |= {(src, dst): 1.0, (dst, src): 1.0}

    def restore(self, src: str, dst: str) -> None:
        """Lose none any more."""
        for pair in ((src, dst), (dst, src)):
            self.lost.pop(pair, None)

    def play(self) -> None:
        """Publish until stopped."""
        client = paho.Client(CallbackAPIVersion.VERSION2, "played-hubs", protocol=paho.MQTTv5)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        for name in self.names:
            status = Status(state="online", at=datetime.now(UTC), version="0.1.0", outbox_reports=0)
            client.publish(topics.status(name), encode(status), qos=1, retain=True)
            self._publish(client, name, "throughput")
        traced_every = max(1, round(TRACED_EVERY_S / self.interval_s))
        for number in itertools.count():
            if self._stop.is_set():
                break
            for name in self.names:
                self._publish(client, name, "latency")
                if number % traced_every == 0 and (len(self.names) <= TRACING_MOST or name == self.names[0]):
                    self._publish(client, name, "path")
            self._stop.wait(self.interval_s)
        client.disconnect()
        client.loop_stop()

    def stop(self) -> None:
        """End."""
        self._stop.set()

    def _publish(self, client: paho.Client, name: str, kind: str) -> None:
        seq = self._seq[name] = self._seq.get(name, 0) + 1
        others = [other for other in self.names if other != name]
        at = datetime.now(UTC)
        report: LatencyReport | PathReport | ThroughputReport
        if kind == "latency":
            rows = tuple(self._latency(name, other) for other in others)
            report = LatencyReport(boot="played", seq=seq, at=at, links=rows)
        elif kind == "path":
            traces = tuple(self._path(name, other) for other in others)
            report = PathReport(boot="played", seq=seq, at=at, links=traces)
        else:
            tests = tuple(_throughput(other, name) for other in others)
            report = ThroughputReport(boot="played", seq=seq, at=at, links=tests)
        client.publish(topics.report(name, kind), encode(report), qos=1)

    def _latency(self, src: str, dst: str) -> LatencyRow:
        lost = round(SENT * self.lost.get((src, dst), 0.0))
        link: dict[str, Any] = {"src": src, "dst": dst, "method": "stamp", "sent": SENT, "timestamp": "kernel"}
        link["window_s"] = self.interval_s
        if lost == SENT:
            return LatencyRow.model_validate({**link, "received": 0, "failure": "timeout"})
        rtt = base_rtt_s(src, dst) * random.Random().uniform(1.0, 1.02)
        shape = {"min": 0.98, "mean": 1.0, "p50": 1.0, "p95": 1.03, "p99": 1.05, "max": 1.1}
        figures = {f"rtt_{name}_s": round(rtt * factor, 9) for name, factor in shape.items()}
        losses = {"received": SENT - lost, "lost_forward": lost, "lost_back": 0}
        return LatencyRow.model_validate({**link, **losses, **figures, "jitter_p95_p50_s": round(rtt * 0.03, 9)})

    def _path(self, src: str, dst: str) -> PathRow:
        names = [f"gw.{src}.example", "core-1.example", f"gw.{dst}.example", f"{dst}.example"]
        if (src, dst) in self.detours:
            names[1:2] = ["core-2.example", "core-3.example"]
        rtt_s = base_rtt_s(src, dst) / len(names)
        hops = tuple(Hop(ttl=ttl, address=name, rtt_s=ttl * rtt_s) for ttl, name in enumerate(names, 1))
        fingerprint = f"{zlib.crc32(' '.join(names).encode()):08x}"
        return PathRow(src=src, dst=dst, method="udp", hops=hops, reached=True, fingerprint=fingerprint)


def base_rtt_s(src: str, dst: str) -> float:
    """The RTT of a pair, the same both ways."""
    return random.Random(f"{min(src, dst)}-{max(src, dst)}").uniform(0.004, 0.03)


def _throughput(src: str, dst: str) -> ThroughputRow:
    goodput = random.Random(f"{src}>{dst}").uniform(5e7, 3e8)
    return ThroughputRow(
        src=src, dst=dst, method="iperf3", goodput_bps=goodput, goodput_low_bps=0.97 * goodput,
        goodput_high_bps=1.02 * goodput, bytes=int(goodput / 4), duration_s=2.0, streams=1, retransmits=12,
        rtt_loaded_s=0.03, congestion="cubic", stopped_by="converged", limited_by="network", reason="scheduled",
    )  # fmt: skip


@contextlib.contextmanager
def hubs_and_collector(
    folder: Path, played: Sequence[Hub] = HUBS, interval_s: float = INTERVAL_S
) -> Iterator[tuple[PlayedHubs, str]]:
    """Broker, collector and hubs while the block runs: the hubs, and where the API answers, which leads to the page."""
    (folder / "mesh.toml").write_text(mesh_toml(played, interval_s))
    (folder / "token").write_text(TOKEN)
    with servers.mosquitto(folder) as port:
        api_port = servers.free_port()
        (folder / "collector.toml").write_text(
            f'broker = "mqtt://127.0.0.1:{port}"\nmesh = "mesh.toml"\ndata_dir = "data"\n'
            f'[api]\nport = {api_port}\ntoken_file = "token"\n'
            f"[page]\nport = {servers.free_port()}\n"
        )
        command = (sys.executable, "-m", "linkweather", "collector", "--config", str(folder / "collector.toml"))
        with servers.running(*command, log=folder / "collector.log"):
            api = f"http://127.0.0.1:{api_port}"
            servers.wait_until(lambda: servers.responds(f"{api}/readyz"), "the collector is ready")
            hubs = PlayedHubs(port, [hub[0] for hub in played], interval_s=interval_s)
            thread = threading.Thread(target=hubs.play, daemon=True)
            thread.start()
            try:
                yield hubs, api
            finally:
                hubs.stop()
                thread.join(10)


@contextlib.contextmanager
def page_of(api: str, folder: Path) -> Iterator[str]:
    """The page of that API, while the block runs: its address."""
    port = servers.free_port()
    command = (sys.executable, "-m", "linkweather", "page", "--api", api, "--port", str(port))
    with servers.running(*command, log=folder / "page.log"):
        servers.wait_until(lambda: servers.responds(f"http://127.0.0.1:{port}/"), "the page answers")
        yield f"http://127.0.0.1:{port}"
