"""Routing by latency on frames of RTTs, replayed through the product's own forecasts and rule: how often it switches.

    python -m tests.bench.flapping DATA [--json]

DATA is an .npz file of one array, frames × n × n; `_ms` or `_s` at the end of its name tells the unit. Values that are
not above 0 are missing, and so is the diagonal. Paths are direct or over a single relay, and a path's RTT is the sum of
its links'. A relay's own forwarding costs nothing here, as it does not in the data.

Whoever decides sees the frames up to t and is scored on frame t + 1: the *mean RTT* is over all those frames and all
pairs of which direct, our path and the path by the latest values were all measured. *Switches* are per pair and step:
how many pairs have another path after frame t + 1 than after frame t, of all n (n − 1), averaged over the steps.
Beside ours stand always direct, the path by the latest value alone (which switches to whatever is best), and the
optimum, the best path by the very frame that it is scored on, which nobody can know before.

Target on steady data, where the path by the latest values is within 10 % of the optimum: at most 0.02 switches per
pair and step, and a mean within 3 % of the optimum's. On any other, where hardly anything can be known before: a mean
no worse than by the latest values. Exit status 1 when that is missed; 2 for what is no such file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from collector.linkstate.expectations import SeriesKind
from collector.linkstate.forecast_bank import ForecastBank
from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import DIRECT, NONE, Vias, best_relays
from collector.routing.router import Router
from collector.settings import RoutingSettings
from linkweather.mesh import Mesh
from tests.collector.routing.deciding import decide_all

SCALE_S = {"ms": 1e-3, "s": 1.0}
MAX_SWITCHES = 0.02
MAX_OVER_OPTIMUM = 0.03
STEADY = 0.10
STEP_S = 60.0
# A frame is later than any hold-down is long, and a relay costs nothing in the data.
RULES = RoutingSettings(forward_s=0.0, hold_down_s=0.0)

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


class NotThisKindError(Exception):
    """The file is not what the bench replays."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        found = replay(load(options.data), RULES)
    except NotThisKindError as error:
        print(f"{options.data}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found) if options.json else told(found))
    return 0 if found["passed"] else 1


def load(path: Path) -> Floats:
    """Frames × n × n in seconds; NaN is missing. Raises NotThisKindError with a sentence."""
    try:
        with np.load(path) as file:
            names = list(file.files)
            arrays = [file[name] for name in names]
    except (OSError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise NotThisKindError(f"not an .npz file that can be read ({error})") from None
    if len(arrays) != 1:
        raise NotThisKindError(f"holds {len(arrays)} arrays, not the one of frames × n × n")
    array, unit = arrays[0], names[0].rpartition("_")[2]
    if unit not in SCALE_S:
        raise NotThisKindError(f"the array's name, {names[0]}, ends in none of _ms and _s, so its unit is not known")
    if array.ndim != 3 or array.shape[1] != array.shape[2] or len(array) < 2 or array.shape[1] < 3:
        raise NotThisKindError(f"its shape, {array.shape}, is not two or more frames of n × n, with n at least 3")
    if array.dtype.kind not in "fiu":
        raise NotThisKindError(f"holds {array.dtype}, not numbers")
    return cleaned(array.astype(np.float32) * np.float32(SCALE_S[unit]))


def cleaned(frames: Floats) -> Floats:
    """NaN for what is missing: all that is not above 0, and the diagonal."""
    everyone = np.arange(frames.shape[1])
    frames[~((frames > 0) & np.isfinite(frames))] = np.nan
    frames[:, everyone, everyone] = np.nan
    if not np.isfinite(frames).any():
        raise NotThisKindError("holds no value above 0")
    return frames


@dataclass
class Sums:
    """RTTs summed over what was scored, by policy; switches by step."""

    rtt_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("ours", "direct", "latest", "optimum"), 0.0))
    scored: int = 0
    switches: list[float] = field(default_factory=list)
    latest_switches: list[float] = field(default_factory=list)

    def score(self, frame: Floats, ours: Vias, latest: Vias) -> None:
        """All paths by what this frame turned out to be."""
        rtts = {"ours": rtt(frame, ours), "direct": frame, "latest": rtt(frame, latest)}
        told = np.logical_and.reduce([np.isfinite(values) for values in rtts.values()])
        rtts["optimum"] = rtt(frame, latest_best(frame))
        for policy, values in rtts.items():
            self.rtt_s[policy] += float(values[told].sum(dtype=float))
        self.scored += int(told.sum())


def replay(frames: Floats, settings: RoutingSettings) -> dict[str, Any]:
    """Every frame through forecasts and router, scored on the next."""
    started = time.process_time()
    sites = tuple(f"s{number}" for number in range(frames.shape[1]))
    pairs = len(sites) * (len(sites) - 1)
    router = Router(settings, _mesh(sites))
    bank = ForecastBank(frames[0].size, SeriesKind(step_s=STEP_S, memory_s=1e9))
    sums, latest = Sums(), np.full(frames[0].shape, NONE, np.int32)
    for number, frame in enumerate(frames):
        at = number * STEP_S
        if number:
            sums.score(frame, router.relays("latency"), latest)
        bank.observe(np.arange(frame.size), at, frame.ravel())
        changes = decide_all(router, _snapshot(sites, bank, at, np.isfinite(frame)))
        before, latest = latest, latest_best(frame)
        if number:
            sums.switches.append(len(changes.pairs["latency"][0]) / pairs)
            sums.latest_switches.append(float((before != latest).sum()) / pairs)
    return _found(sums, frames.shape, time.process_time() - started)


def _mesh(sites: tuple[str, ...]) -> Mesh:
    return Mesh.model_validate({"sites": {site: {"address": f"{site}.test"} for site in sites}})


def _snapshot(sites: tuple[str, ...], bank: ForecastBank, at: float, measured: Bools) -> Snapshot:
    # A link that could not be measured is not used, as in the collector, where loss of contact is down at once.
    said, shape = bank.forecast(at), (len(sites), len(sites))
    p10, p50, p90 = (np.reshape(values, shape) for values in (said.p10, said.p50, said.p90))
    return Snapshot.of(
        sites,
        at=at,
        rtt_p50_s=np.where(measured, p50, np.nan),
        rtt_p10_s=p10,
        rtt_p90_s=p90,
        rtt_mean_s=np.reshape(said.mean, shape),
        rtt_samples=np.reshape(said.samples, shape),
        rtt_reverts=np.reshape(said.reverts, shape),
    )


def latest_best(frame: Floats) -> Vias:
    """The best path by this frame alone."""
    known = np.where(np.isfinite(frame), frame, np.float32(np.inf))
    vias = best_relays(known, known, np.add)
    through = rtt(known, vias)
    return np.where((vias >= 0) & (through < known), vias, np.int32(DIRECT))


def rtt(frame: Floats, vias: Vias) -> Floats:
    """The RTT of every pair's path; NaN where a link was not measured, or there is no path."""
    everyone, relay = np.arange(len(frame)), np.maximum(vias, 0)
    relayed = frame[everyone[:, None], relay] + frame[relay, everyone]
    return np.where(vias == DIRECT, frame, np.where(vias >= 0, relayed, np.nan))


def _found(sums: Sums, shape: tuple[int, ...], seconds: float) -> dict[str, Any]:
    if not sums.scored:
        raise NotThisKindError("no pair is measured in two frames: nothing can be scored")
    means = {policy: total / sums.scored for policy, total in sums.rtt_s.items()}
    over, latest_over = (means[policy] / means["optimum"] - 1 for policy in ("ours", "latest"))
    switches = float(np.mean(sums.switches))
    steady = latest_over <= STEADY
    return {
        "frames": shape[0],
        "nodes": shape[1],
        "scored": sums.scored,
        "switches_per_pair_and_step": switches,
        "switches_by_latest": float(np.mean(sums.latest_switches)),
        **{f"mean_rtt_{policy}_s": mean for policy, mean in means.items()},
        "over_optimum": over,
        "latest_over_optimum": latest_over,
        "beside_latest": means["ours"] / means["latest"],
        "steady": steady,
        "passed": switches <= MAX_SWITCHES and over <= MAX_OVER_OPTIMUM if steady else over <= latest_over,
        "processor_s": seconds,
    }


def told(found: dict[str, Any]) -> str:
    target = (
        f"at most {MAX_SWITCHES} switches and {MAX_OVER_OPTIMUM:.0%} over the optimum"
        if found["steady"]
        else "a mean no worse than by the latest values"
    )
    means = {name: 1e3 * found[f"mean_rtt_{name}_s"] for name in ("ours", "direct", "latest", "optimum")}
    lines = (
        f"{found['frames']} frames of {found['nodes']} nodes; {found['scored']} scored",
        f"switches per pair and step: ours {found['switches_per_pair_and_step']:.4f}",
        f"  by the latest values {found['switches_by_latest']:.4f}",
        "mean RTT: " + ", ".join(f"{name} {mean:.2f} ms" for name, mean in means.items()),
        f"over the optimum: ours {found['over_optimum']:.2%}, by the latest values {found['latest_over_optimum']:.2%}",
        f"target, {target}: {'reached' if found['passed'] else 'MISSED'}",
        f"{found['processor_s']:.1f} s of processor time",
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
