"""Three sites and a store behind a name, with links in every condition: what the ALTO tests expect follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from collector.alto.alto_api import AltoSources
from collector.alto.request_fields import Fields
from collector.alto.view import View
from linkweather.mesh import Mesh
from linkweather.models.routes import NoRoute, PathExpectation, RouteAnswer
from linkweather.models.state import CapacityAnswer, LinkAnswer

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOW = AT.timestamp()
MESH = Mesh.model_validate(
    {
        "sites": {
            "bj": {
                "address": "10.1.0.1",
                "prefixes": ["10.1.0.0/16", "2001:db8:1::/48"],
                "compute_id": "cn.bj.1",
                "region": "north",
                "latitude": 39.9,
            },
            "gz": {"address": "10.1.200.1", "prefixes": ["10.1.200.0/24"], "operator": "Example"},
            "cc": {"address": "192.0.2.7"},
            "store": {"address": "store.example.net"},
        }
    }
)
# RTT in ms: bj→gz 40 (20 to 100), gz→cc 10, bj→cc 90; cc→bj is stale, cc→gz expired, gz→bj down; store never measured.
LINKS = (
    LinkAnswer(
        src="bj",
        dst="gz",
        state="fresh",
        age_s=2.0,
        rtt_age_s=3.0,
        rtt_min_s=0.020,
        rtt_mean_s=0.045,
        rtt_p50_s=0.040,
        rtt_p95_s=0.080,
        rtt_p99_s=0.090,
        rtt_max_s=0.100,
        owd_p50_s=0.0195,
        loss_ratio=0.03,
        loss_forward_ratio=0.01,
        goodput_state="fresh",
        goodput_age_s=60.0,
        goodput_bps=8e8,
        path_age_s=30.0,
        hops=7,
    ),
    LinkAnswer(
        src="gz",
        dst="cc",
        state="fresh",
        rtt_age_s=1.0,
        rtt_p50_s=0.010,
        rtt_min_s=0.010,
        loss_ratio=0.0,
        owd_p50_s=-0.0001,
        goodput_state="stale",
        goodput_age_s=900.0,
        goodput_bps=4e9,
    ),
    LinkAnswer(
        src="bj", dst="cc", state="fresh", rtt_age_s=2.0, rtt_p50_s=0.090, goodput_state="expired", goodput_bps=1e9
    ),
    LinkAnswer(src="cc", dst="bj", state="stale", rtt_age_s=25.0, rtt_p50_s=0.040),
    LinkAnswer(src="cc", dst="gz", state="expired", rtt_p50_s=0.010, loss_ratio=0.0, hops=3),
    LinkAnswer(
        src="gz", dst="bj", state="down", rtt_p50_s=0.040, loss_ratio=1.0, goodput_state="fresh", goodput_bps=8e8
    ),
    LinkAnswer(src="bj", dst="store"),
)
CAPACITIES = (
    CapacityAnswer(site="bj", state="fresh", at=AT, age_s=10.0, type="gpu", total=8, free=3),
    CapacityAnswer(site="gz", state="expired", at=AT, age_s=9999.0, type="gpu", total=4),
)
RELAYED = {("bj", "cc"): ("bj", "gz", "cc"), ("bj", "gz"): ("bj", "gz"), ("gz", "cc"): ("gz", "cc")}

NUM_RTT = {"cost-mode": "numerical", "cost-metric": "delay-rt"}
NUM_TPUT = {"cost-mode": "numerical", "cost-metric": "tput"}
ORD_RTT = {"cost-mode": "ordinal", "cost-metric": "delay-rt"}
ORD_TPUT = {"cost-mode": "ordinal", "cost-metric": "tput"}
PATH_VECTOR = {"cost-mode": "array", "cost-metric": "ane-path"}


def route(src: str, dst: str) -> RouteAnswer | NoRoute:
    """bj reaches cc through gz; other pairs have their link or nothing."""
    sites = RELAYED.get((src, dst))
    if sites is None:
        return NoRoute(src=src, dst=dst, objective="latency", reason="down", why="no link")
    return RouteAnswer(src=src, dst=dst, objective="latency", at=AT, path=PathExpectation(sites=sites), why="so")


def view(links: Sequence[LinkAnswer] = LINKS, mesh: Mesh = MESH) -> View:
    return View(now=NOW, mesh=mesh, links=lambda: links, route=route, capacities=CAPACITIES)


def asked(**fields: Any) -> Fields:
    """A request's object; keywords stand for names with hyphens."""
    return Fields({name.replace("_", "-"): value for name, value in fields.items()})


@dataclass
class AltoWorld:
    """What the server finds; a test may change it under an open stream."""

    links: list[LinkAnswer] = field(default_factory=lambda: list(LINKS))
    mesh: Mesh = MESH
    now: float = NOW
    step: float = 1.0
    stopping: bool = False
    stream_counts: list[int] = field(default_factory=list)

    def sources(self) -> AltoSources:
        return AltoSources(
            now=self._tick,
            mesh=lambda: self.mesh,
            links=lambda _now: partial(list, self.links),
            route=lambda src, dst, _now: route(src, dst),
            capacities=lambda _now: list(CAPACITIES),
            stopping=lambda: self.stopping,
            count_streams=self.stream_counts.append,
        )

    def change(self, src: str, dst: str, **fields: Any) -> None:
        self.links = [
            link.model_copy(update=fields) if (link.src, link.dst) == (src, dst) else link for link in self.links
        ]

    def _tick(self) -> float:
        self.now += self.step
        return self.now
