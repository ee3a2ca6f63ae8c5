"""A mesh of four sites and its snapshots, for the tests of decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import Snapshot
from linkweather.mesh import Mesh

NAN = np.nan
SITES = ("bj", "cc", "gs", "gz")
EVERY = (slice(None), slice(None))
# gz → gs takes 61 ms direct, 26 ms through cc, 35 ms through bj.
RTT_MS = {("bj", "cc"): 5, ("bj", "gs"): 20, ("bj", "gz"): 15, ("cc", "gs"): 16, ("cc", "gz"): 10, ("gs", "gz"): 61}
# gz → gs carries 1 Gbit/s direct, 3 through cc, 2 through bj.
GBPS = {("bj", "cc"): 4, ("bj", "gs"): 2, ("bj", "gz"): 5, ("cc", "gs"): 3, ("cc", "gz"): 6, ("gs", "gz"): 1}


def mesh(sites: tuple[str, ...] = SITES, hubs: tuple[str, ...] = (), **prices: float) -> Mesh:
    there = {site: {"address": f"{site}.test", "egress_usd_per_gb": prices.get(site)} for site in sites}
    return Mesh.model_validate({"sites": there, "groups": [{"name": "all", "hubs": hubs}] if hubs else []})


def matrix(
    values: Mapping[tuple[str, str], float], scale: float, sites: tuple[str, ...] = SITES
) -> npt.NDArray[np.float64]:
    """Both ways alike; NaN where there is none."""
    return np.array([[scale * values.get((min(a, b), max(a, b)), NAN) for b in sites] for a in sites])


def snapshot(at: float = 0.0, *, without: tuple[str, ...] = (), **fields: Any) -> Snapshot:
    """The four sites; `without` are links, such as "cc-gs", that cannot be used this way."""
    rtt, goodput = matrix(RTT_MS, 1e-3), matrix(GBPS, 1e9)
    for link in without:
        src, dst = (SITES.index(site) for site in link.split("-"))
        rtt[src, dst] = goodput[src, dst] = NAN
    return Snapshot.of(SITES, at=at, rtt_p50_s=rtt, goodput_p50_bps=goodput, **fields)


def stale(*links: str) -> npt.NDArray[np.bool_]:
    """Fresh, but for these links."""
    fresh = ~np.eye(len(SITES), dtype=bool)
    for link in links:
        src, dst = (SITES.index(site) for site in link.split("-"))
        fresh[src, dst] = False
    return fresh
