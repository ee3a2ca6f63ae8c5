"""One-step-ahead forecasts of measured series beside every single forecaster, and how often the 80 % interval holds.

DATA is an .npz file of one array, frames × n × n; `_ms` or `_s` at the end of its name tells the unit. Values that are
not above 0 are missing. Every pair is a series, a frame a step; what nobody forecast, as the first frame, is skipped.

Where a series repeats itself to the last digit, as a value does that is held until the next measurement, the
narrowest interval is a point, and holds as often as the value repeats, be that more than 80 %. It cannot be narrower:
points that hold more often than that count as 80 %. `covered` is the plain share, points and all.

Run: python -m tests.bench.forecast DATA [--json]. Exit status 1: more than 2 % worse than the best single
forecaster, or an interval that does not hold in 75 to 85 % of all cases.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from collector.linkstate.expectations import SeriesKind
from collector.linkstate.forecast_bank import ForecastBank
from collector.linkstate.forecasters import FORECASTERS

SCALE = {"ms": 1e-3, "s": 1.0}
STEP_S = 1.0
RATIO_LIMIT = 1.02
COVERAGE = (0.75, 0.85)
NOMINAL = 0.8

Floats = npt.NDArray[np.floating]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--log", action="store_true", help="forecast in logarithms, as goodput is")
    options = parser.parse_args()
    found = judge(load(options.data), log=options.log)
    print(json.dumps(found) if options.json else _told(found))
    return 0 if found["passed"] else 1


def load(path: Path) -> Floats:
    """The file's array as [frames, series], in seconds where it names a unit; NaN is missing."""
    with np.load(path) as file:
        name = file.files[0]
        frames = file[name].astype(float) * SCALE.get(name.rpartition("_")[2], 1.0)
    frames[~(frames > 0)] = np.nan
    series = frames.reshape(len(frames), -1)
    known: Floats = series[:, np.isfinite(series).any(axis=0)].astype(np.float32)
    return known


def judge(frames: Floats, *, log: bool = False) -> dict[str, object]:
    started = time.process_time()
    kind = SeriesKind(step_s=STEP_S, memory_s=1e9, log=log)
    bank = ForecastBank(frames.shape[1], kind)
    everyone = np.arange(frames.shape[1])
    errors: list[Floats] = []
    singles: list[Floats] = []
    inside: list[npt.NDArray[np.bool_]] = []
    point: list[npt.NDArray[np.bool_]] = []
    for number, frame in enumerate(frames):
        said, every = bank.forecast(float(number)), bank.every()
        judged = np.isfinite(frame) & np.isfinite(said.p50)
        p10, p90 = (edge[judged].astype(np.float32) for edge in (said.p10, said.p90))
        errors.append(np.abs(frame - said.p50.astype(np.float32))[judged])
        singles.append(np.abs(frame - every.astype(np.float32))[:, judged])
        inside.append((p10 <= frame[judged]) & (frame[judged] <= p90))
        point.append(p10 == p90)
        bank.observe(everyone, float(number), frame)
    seconds = time.process_time() - started
    return _scores(
        np.concatenate(errors), np.concatenate(singles, axis=1), np.concatenate(inside), np.concatenate(point)
    ) | {"processor_s": seconds}


def _scores(
    errors: Floats, singles: Floats, inside: npt.NDArray[np.bool_], point: npt.NDArray[np.bool_]
) -> dict[str, object]:
    alone = dict(zip(FORECASTERS, np.median(singles, axis=1).tolist(), strict=True))
    best = min(alone, key=alone.__getitem__)
    ours = float(np.median(errors))
    ratio = ours / alone[best] if alone[best] > 0 else 1.0 if ours == 0 else float("inf")
    held = [min(float(inside[point].sum()), NOMINAL * float(point.sum())), float(inside[~point].sum())]
    coverage = sum(held) / len(errors)
    return {
        "n": len(errors),
        "median_absolute_error": ours,
        "single": alone,
        "best_single": best,
        "ratio": ratio,
        "coverage": coverage,
        "covered": float(inside.mean()),
        "points": float(point.mean()),
        "passed": ratio <= RATIO_LIMIT and COVERAGE[0] <= coverage <= COVERAGE[1],
    }


def _told(found: dict[str, object]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in found.items())


if __name__ == "__main__":
    sys.exit(main())
