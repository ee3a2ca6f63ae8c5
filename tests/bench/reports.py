"""Latency reports as a mesh of many sites sends them: what the benches of the record feed on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from linkweather.wire import LatencyReport, LatencyRow, encode

START = datetime(2026, 11, 1, tzinfo=UTC)
_QUANTILES = ("rtt_min_s", "rtt_p50_s", "rtt_mean_s", "rtt_p95_s", "rtt_p99_s", "rtt_max_s")
_CLOCKS = ("owd_forward_p50_s", "owd_back_p50_s", "owd_error_s")


def payloads(sites: int, rows: int, *, synchronised: bool = False, seed: int = 1) -> Iterator[list[tuple[str, bytes]]]:
    """Rounds without end: one report per site each, as (site, payload), times to the microsecond.

    Every field of the contract is set but the failures' and, unless `synchronised`, the one-way delays.
    """
    chance = random.Random(seed)
    names = ("jitter_rfc3550_s", *(_CLOCKS if synchronised else ()))
    ids = [f"site-{number:03d}" for number in range(sites)]
    for seq in count(1):
        yield [(site, _payload(site, seq, _rows(rows, names, chance))) for site in ids]


def _payload(site: str, seq: int, rows: list[dict[str, Any]]) -> bytes:
    links = tuple(LatencyRow(src=site, method="stamp", timestamp="kernel", **row) for row in rows)
    at = START + timedelta(seconds=5 * seq)
    return encode(LatencyReport(boot="0123456789abcdef", seq=seq, at=at, links=links))


def _rows(rows: int, names: tuple[str, ...], chance: random.Random) -> list[dict[str, Any]]:
    counts = {"sent": 50, "received": 49, "lost_forward": 0, "lost_back": 1, "duplicated": 0, "reordered": 0, "late": 0}
    return [
        {
            "dst": f"peer-{peer:03d}",
            "window_s": 5.0,
            **counts,
            **_rtts(chance),
            **{name: round(chance.uniform(0.001, 0.2), 6) for name in names},
        }
        for peer in range(rows)
    ]


def _rtts(chance: random.Random) -> dict[str, float]:
    values = sorted(round(chance.uniform(0.001, 0.2), 6) for _ in _QUANTILES)
    found = dict(zip(_QUANTILES, values, strict=True))
    spread = round(found["rtt_p95_s"] - found["rtt_p50_s"], 6)
    return found | {"rtt_stdev_s": spread, "jitter_p95_p50_s": spread}
