"""The fleet that is played: places on a map, the links between them, and the rows that report them. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkweather.wire import Hop, LatencyRow, PathRow, ThroughputRow, encode

PATH_EVERY_S = 300.0
_CHUNK = 10  # rows that are of one variant together
_LEVELS = 1000
_KM_PER_S = 200_000.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is played: so many sites, each reporting its links every `interval_s`.

    With `hubs` the first sites are such: all others have links to them alone, and they have links to all.
    """

    sites: int
    interval_s: float
    variants: int = 4
    seed: int = 1
    hubs: int = 0

    def peers(self, site: int) -> list[int]:
        """The sites to which a site has a link."""
        return [peer for peer in range(self.sites) if peer != site and (not self.hubs or min(site, peer) < self.hubs)]

    @property
    def links(self) -> int:
        """How many links there are, each way counted."""
        return sum(len(self.peers(site)) for site in range(self.sites))

    @property
    def test_every_s(self) -> float:
        """How often the tournament tests the throughput of each link."""
        return max(600.0, 10.0 * self.sites)


def name(site: int) -> str:
    """The id of a site."""
    return f"s{site:04d}"


class FleetMap:
    """Where the sites are, and the RTT and goodput of their links, [src, dst].

    RTTs follow from the distance, with detours that make relays worthwhile.
    """

    def __init__(self, fleet: Fleet) -> None:
        rng, sites = np.random.default_rng(fleet.seed), fleet.sites
        self.latitude, self.longitude = rng.uniform(20, 50, sites), rng.uniform(75, 125, sites)
        detours = np.triu(rng.lognormal(0.35, 0.25, (sites, sites)), 1)
        self.rtt_s: Floats = 0.001 + 2 * self._km() / _KM_PER_S * np.maximum(detours + detours.T, 1.05)
        uplinks = rng.choice([1e9, 5e9, 10e9, 25e9], sites)
        shares = np.clip(rng.lognormal(-0.5, 0.3, (sites, sites)), 0.05, 0.97)
        self.goodput_bps: Floats = np.minimum(uplinks[:, None], uplinks) * shares
        self.operators = rng.integers(0, 4, sites)

    def _km(self) -> Floats:
        latitude, longitude = np.radians(self.latitude), np.radians(self.longitude)
        cosines = np.cos(latitude)[:, None] * np.cos(latitude) * np.cos(longitude[:, None] - longitude)
        angles: Floats = np.arccos(np.clip(np.sin(latitude)[:, None] * np.sin(latitude) + cosines, -1, 1))
        return 6371 * angles

    def mesh(self, fleet: Fleet) -> str:
        """The mesh file."""
        lines = [
            f'name = "fleet-{fleet.sites}"\n[latency]\nreport_interval_s = {fleet.interval_s:.1f}',
            f"[throughput]\nevery_s = 600.0\n[path]\nevery_s = {PATH_EVERY_S:.1f}",
        ]
        lines += [
            f'[sites.{name(site)}]\naddress = "10.{site // 250}.{site % 250}.1"\n'
            f'operator = "op{self.operators[site]}"\n'
            f"latitude = {self.latitude[site]:.3f}\nlongitude = {self.longitude[site]:.3f}"
            for site in range(fleet.sites)
        ]
        if fleet.hubs:
            hubs = ", ".join(f'"{name(site)}"' for site in range(fleet.hubs))
            lines.append(f'[[groups]]\nname = "all"\nhubs = [{hubs}]')
        return "\n".join(lines) + "\n"


class LatencyRows:
    """The encoded latency rows of all links: figures of _LEVELS RTTs in some variants, of which a link has the nearest.

    A thousand sites have a million links, whose rows would each take half a kilobyte a variant.
    """

    def __init__(self, fleet: Fleet, rtt_s: Floats) -> None:
        self._fleet, rng = fleet, np.random.default_rng(fleet.seed + 1)
        levels = np.geomspace(rtt_s.min(), rtt_s.max(), _LEVELS)
        self._levels = np.searchsorted(levels[:-1], rtt_s).astype(np.uint16)
        self._figures = [_encoded_figures(fleet, levels, rng) for _ in range(fleet.variants)]

    def of(self, src: int, seq: int) -> bytes:
        """The rows of a site's report, the same each time."""
        pick, levels, rows = random.Random(seq * 100_003 + src), self._levels[src], []
        for place, dst in enumerate(self._fleet.peers(src)):
            if place % _CHUNK == 0:
                figures = pick.choice(self._figures)
            rows.append(_HEAD % (src, dst) + figures[levels[dst]])
        return b",".join(rows)


_HEAD = b'{"src":"s%04d","dst":"s%04d"'


def _encoded_figures(fleet: Fleet, levels: Floats, rng: np.random.Generator) -> list[bytes]:
    """One variant of the rows of all levels, without the names of the sites that they begin with."""
    rtts = levels * (1 + np.abs(rng.normal(0, 0.004, len(levels))))
    jitters = rtts * 0.01 + np.abs(rng.normal(0, 0.0002, len(levels)))
    lost = rng.random(len(levels)) < 0.03
    rows = zip(rtts.tolist(), jitters.tolist(), lost.tolist(), strict=True)
    head = _HEAD % (0, 1)
    return [
        encode(_latency_row(fleet, (0, 1), rtt, jitter, int(loss))).removeprefix(head) for rtt, jitter, loss in rows
    ]


def _latency_row(fleet: Fleet, link: tuple[int, int], rtt: float, jitter: float, lost: int) -> LatencyRow:
    sent = max(1, round(fleet.interval_s / 0.1))
    figures = {
        "rtt_min_s": rtt - jitter / 2,
        "rtt_mean_s": rtt + jitter / 10,
        "rtt_p50_s": rtt,
        "rtt_p95_s": rtt + jitter,
        "rtt_p99_s": rtt + 1.5 * jitter,
        "rtt_max_s": rtt + 2 * jitter,
        "rtt_stdev_s": jitter / 2,
        "jitter_p95_p50_s": jitter,
        "jitter_rfc3550_s": jitter / 3,
        "owd_forward_p50_s": rtt * 0.49,
        "owd_back_p50_s": rtt * 0.51,
        "owd_error_s": 0.00013 + jitter / 100,
    }
    row: dict[str, object] = {
        "src": name(link[0]),
        "dst": name(link[1]),
        "method": "stamp",
        "window_s": fleet.interval_s,
        "sent": sent,
        "received": sent - lost,
        "lost_forward": lost,
        "lost_back": 0,
        "duplicated": 0,
        "reordered": 0,
        "late": 0,
        "timestamp": "kernel",
        **{field: round(value, 9) for field, value in figures.items()},
    }
    return LatencyRow.model_validate(row)


def pair_of(turn: int, fleet: Fleet) -> tuple[int, int]:
    """The two sites of a turn: in a full mesh, within sites × (sites − 1) turns, every ordered pair once."""
    near, round_ = turn % fleet.sites, turn // fleet.sites
    peers = fleet.peers(near)
    return near, peers[(near + round_) % len(peers)]


def throughput_row(world: FleetMap, src: int, dst: int, seq: int) -> ThroughputRow:
    goodput = float(world.goodput_bps[src, dst]) * random.Random(seq).uniform(0.93, 1.03)
    return ThroughputRow(
        src=name(src),
        dst=name(dst),
        method="iperf3",
        goodput_bps=goodput,
        goodput_low_bps=0.97 * goodput,
        goodput_high_bps=1.02 * goodput,
        goodput_10s_bps=0.99 * goodput,
        bytes=int(goodput / 4),
        duration_s=2.013411,
        streams=1,
        retransmits=12,
        rtt_loaded_s=float(world.rtt_s[src, dst]) * 1.2,
        congestion="cubic",
        stopped_by="converged",
        limited_by="network",
        reason="scheduled",
    )


def path_row(world: FleetMap, src: int, dst: int) -> PathRow:
    rtt = float(world.rtt_s[src, dst])
    hops = tuple(
        Hop(ttl=ttl, address=f"10.{200 + ttl}.{src % 250}.{dst % 250}", rtt_s=round(rtt * ttl / 9, 9), loss_ratio=0.0)
        for ttl in range(1, 10)
    )
    fingerprint = f"{src * 100_000 + dst:016x}"
    return PathRow(
        src=name(src),
        dst=name(dst),
        method="udp",
        hops=hops,
        reached=True,
        fingerprint=fingerprint,
        path_mtu_bytes=1500,
    )
