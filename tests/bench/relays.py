"""Relays chosen by the product on grids of goodput, scored on other grids, beside plain margins: gains and regrets.

    python -m tests.bench.relays --case DECIDE[,DECIDE…] SCORE DAYS … [--day GRID@DATE …] [--frames CSV …] [--json]
    python -m tests.bench.relays --decide A.csv [--decide B.csv] --score C.csv [--age DAYS] [--decisions OUT.csv]

A case is what to decide on, the latest last, what to score on, and how many days lie between; grids are files as
`tests.bench.grids` says. Of all `--day`s each is left out once: it is scored by what was decided on all the others.
Of `--frames` each frame is scored by what was decided on the one before, and on the eight before.

The *speed-up* is the geometric mean over all scored pairs, direct ones counting 1; *worse* is the share of relays whose
worst leg then is slower than direct, and *5 % worse* of those that lose more than that; *tail* is the mean loss of the
worst twentieth of relays. In brackets are 90 % intervals, by bootstrap over sources. Plain margins take the best relay
by the mean of the deciding grids where it beats direct by the margin; ours is shown with its caution halved and half as
much again, too. *ahead* is our speed-up less what the curve of the plain margins has at our share of worse relays. A
pair whose direct link nobody measured stays direct, and whose scored links are missing is not scored.

Exit status 1: a case in which we are behind that curve, by the whole interval; 2: wrong usage, or a bad file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import DIRECT, Floats, Vias
from collector.routing.costs import GoodputEstimate
from collector.routing.goodput_estimate import MEAN_DEVIATION, NOISE_LASTS_DAYS, Blocks, Observed, estimated
from collector.routing.router import Router
from collector.settings import RoutingSettings
from linkweather.errors import OperatorError
from linkweather.mesh import Mesh
from tests.bench.grids import GridFile, frames, matrix, operators, sites_of, write_decisions
from tests.collector.routing.deciding import decide_all

MARGINS = (1.0, 1.1, 1.25, 1.5)
CAUTIONS = {"ours, half the caution": 0.5, "ours": 1.0, "ours, 1.5 the caution": 1.5}
HISTORIES = (1, 8)
RESAMPLES = 400
LITTLE = math.log(0.95)
FIGURES = ("speed-up", "worse", "5 % worse", "tail")


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """What to decide on and what that is scored on, both [src, dst] of `sites`: several of both, for frames."""

    name: str
    sites: Sequence[str]
    rounds: Sequence[tuple[Sequence[Floats], Floats]]
    age_days: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs=3, action="append", default=[], metavar=("DECIDE[,DECIDE…]", "SCORE", "DAYS"))
    parser.add_argument("--day", action="append", default=[], metavar="GRID@DATE")
    parser.add_argument("--frames", type=Path, action="append", default=[], metavar="CSV")
    parser.add_argument("--decide", action="append", default=[], metavar="CSV")
    parser.add_argument("--score", metavar="CSV")
    parser.add_argument("--age", default="0", metavar="DAYS")
    parser.add_argument("--decisions", type=Path, metavar="CSV", help="write src, dst, via; via is empty for direct")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if bool(options.decide) != bool(options.score):
        parser.error("--decide and --score belong together")
    try:
        return _bench(options)
    except OperatorError as error:
        print(error, file=sys.stderr)
        return 2


def _bench(options: argparse.Namespace) -> int:
    started, found = time.process_time(), []
    for case in _cases(options):
        result = judged(case)
        found.append(result)
        if not options.json:
            print(told(result), flush=True)
        if options.decisions:
            write_decisions(options.decisions, chosen(case.rounds[-1][0], case.sites, case.age_days), case.sites)
    seconds, passed = time.process_time() - started, all(one["ahead"][2] >= 0 for one in found)
    if options.json:
        print(json.dumps({"cases": found, "processor_s": seconds, "passed": passed}))
    else:
        print(f"{seconds:.1f} s of processor time; {'reached' if passed else 'MISSED'}: nowhere behind plain margins")
    return 0 if passed else 1


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    given = [*options.case, *([[",".join(options.decide), options.score, options.age]] if options.score else [])]
    for decide, score, days in given:
        try:
            age_days = float(days)
        except ValueError:
            raise OperatorError(f"{days}: is no number of days") from None
        yield _case([GridFile.parse(path) for path in decide.split(",")], GridFile.parse(score), age_days)
    yield from _left_out([GridFile.parse(text) for text in options.day])
    for path, history in ((path, history) for path in options.frames for history in HISTORIES):
        yield _of_frames(path, history)


def _case(decide: Sequence[GridFile], score: GridFile, age_days: float) -> Case:
    grids, truth = [file.read() for file in decide], score.read()
    sites = sites_of(*grids, truth)
    rounds = [([matrix(grid, sites) for grid in grids], matrix(truth, sites))]
    name = f"{' + '.join(map(str, decide))} → {score}, {age_days:g} days"
    return Case(name=name, sites=sites, rounds=rounds, age_days=age_days)


def _left_out(files: Sequence[GridFile]) -> Iterator[Case]:
    for score in files:
        days = {other: abs((other.day - score.day).days) for other in files if other.day and score.day}
        others = sorted((other for other in days if days[other]), key=lambda other: -days[other])
        if not others:
            raise OperatorError(f"{score}: a day to leave out is a GRID@DATE, and beside it there is another")
        yield _case(others, score, days[others[-1]])


def _of_frames(path: Path, history: int) -> Case:
    grids = frames(path)
    sites = sites_of(*grids)
    truths = [matrix(grid, sites) for grid in grids]
    rounds = [(truths[last - history : last], truths[last]) for last in range(history, len(truths))]
    if not rounds:
        raise OperatorError(f"{path}: has no more than {history} frames")
    return Case(name=f"{path}, {history} frames → the next", sites=sites, rounds=rounds)


def pooled(grids: Sequence[Floats], operators: Sequence[str | None], age_days: float = 0.0) -> Observed:
    """Grids of goodput as tests of equal weight, the newest so many days old.

    By how much tests lie apart, less what the links of a block share, says how much links of these operators vary.
    """
    logs = np.log(np.stack(grids))
    tests = np.isfinite(logs).sum(axis=0)
    log = _ratio(np.nansum(logs, axis=0), tests)
    blocks, again = Blocks.of(operators, log), tests > 1
    apart = [np.where(again, one - log, np.nan) for one in logs]
    shared = [_ratio(blocks.totals(one), blocks.totals(np.isfinite(one).astype(float))) for one in apart]
    lone = [np.abs(one - both[blocks.of_link]) for one, both in zip(apart, shared, strict=True)]
    # Deviations from a mean of n tests are too small by the square root of 1 − 1/n.
    sizes = _ratio(np.nansum(lone, axis=0), np.where(again, np.sqrt(tests * (tests - 1.0)), 0.0))
    spread = blocks.mean_sizes(sizes) / MEAN_DEVIATION * math.sqrt(1.0 + age_days / NOISE_LASTS_DAYS)
    return Observed(
        log=log,
        samples=tests.astype(float),
        spread=np.where(again, spread, np.nan),
        age_days=np.full(log.shape, age_days),
    )


def _ratio(above: Floats, below: Floats) -> Floats:
    shares: Floats = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
    return shares


def chosen(grids: Sequence[Floats], sites: Sequence[str], age_days: float = 0.0, caution: float = 1.0) -> Vias:
    """The relay of every pair as the product's router takes it, with so many times its caution; DIRECT without."""
    expected = estimated(pooled(grids, operators(sites), age_days), operators(sites))
    return routed(dataclasses.replace(expected, caution=caution * expected.caution).goodputs(), len(sites))


def routed(goodputs: GoodputEstimate, count: int) -> Vias:
    names = [f"s{index}" for index in range(count)]
    mesh = Mesh.model_validate(
        {"mesh": {"name": "grid"}, "sites": {name: {"address": f"{name}.example"} for name in names}}
    )
    router = Router(RoutingSettings(), mesh)
    decide_all(router, Snapshot.of(names, goodput_p50_bps=goodputs.expected_bps), goodputs=goodputs)
    vias = np.maximum(router.relays("goodput"), np.int32(DIRECT))
    return np.where(np.isfinite(goodputs.expected_bps), vias, np.int32(DIRECT))


def plain(grids: Sequence[Floats], margin: float) -> Vias:
    """The relay that is best by the geometric mean of these grids, where it beats direct by the margin."""
    logs = np.log(np.stack(grids))
    mean = _ratio(np.nansum(logs, axis=0), np.isfinite(logs).sum(axis=0))
    known = np.where(np.isfinite(mean), mean, -np.inf)
    vias = np.full(mean.shape, DIRECT, np.int32)
    for src, row in enumerate(known):
        worst_legs = np.minimum(row[:, None], known)
        beats = worst_legs.max(axis=0) > mean[src] + math.log(margin)  # never, where direct is not known
        vias[src] = np.where(beats, worst_legs.argmax(axis=0), DIRECT)
    return vias


def gains(vias: Vias, truth: Floats) -> tuple[Floats, Floats]:
    """Logarithms of path over direct [src, dst], NaN where not scored: of all pairs, and of those with a relay."""
    rows, columns = np.indices(vias.shape)
    relayed = vias >= 0
    via = np.where(relayed, vias, 0)
    got = np.where(relayed, np.minimum(truth[rows, via], truth[via, columns]), truth)
    every = np.log(got / truth)
    return every, np.where(relayed, every, np.nan)


@dataclass(frozen=True, eq=False)
class Uses:
    """A policy's gains by source: of all scored pairs, and of those with a relay."""

    every: Sequence[Floats]
    relayed: Sequence[Floats]

    def figures(self, sources: Sequence[int]) -> Floats:
        """`FIGURES` over these sources, each as often as it is named."""
        every, relayed = (np.concatenate([part[src] for src in sources]) for part in (self.every, self.relayed))
        if not len(relayed):
            return np.array([math.exp(every.mean()) if len(every) else math.nan, 0.0, 0.0, 0.0])
        worst = np.partition(relayed, math.ceil(len(relayed) / 20) - 1)[: math.ceil(len(relayed) / 20)]
        shares = (np.mean(relayed < 0), np.mean(relayed < LITTLE), -np.expm1(worst).mean())
        return np.array([math.exp(every.mean()), *shares])


def uses(pairs: Sequence[tuple[Vias, Floats]]) -> Uses:
    """Of one policy in all rounds."""
    found = [gains(vias, truth) for vias, truth in pairs]
    parts = [np.concatenate([one[part] for one in found], axis=1) for part in (0, 1)]
    return Uses(*([row[np.isfinite(row)] for row in part] for part in parts))


def judged(case: Case) -> dict[str, Any]:
    """Every policy's figures with their intervals. Raises OperatorError where nothing can be scored."""
    policies = {f"plain, margin {margin:g}": [plain(grids, margin) for grids, _ in case.rounds] for margin in MARGINS}
    for name, caution in CAUTIONS.items():
        policies[name] = [chosen(grids, case.sites, case.age_days, caution) for grids, _ in case.rounds]
    policies["oracle"] = [plain([truth], 1.0) for _, truth in case.rounds]
    truths = [truth for _, truth in case.rounds]
    by_policy = {name: uses(list(zip(vias, truths, strict=True))) for name, vias in policies.items()}
    scored = [src for src, row in enumerate(by_policy["ours"].every) if len(row)]
    if not scored:
        raise OperatorError(
            f"{case.name}: has no pair to score: neither a direct link, nor one with both legs of its relay"
        )
    samples = [scored, *np.random.default_rng(1).choice(scored, (RESAMPLES, len(scored))).tolist()]
    drawn = np.array([[one.figures(sample) for one in by_policy.values()] for sample in samples])  # [sample, policy, …]
    ahead = [_ahead(one[: len(MARGINS)], one[list(by_policy).index("ours")]) for one in drawn]
    scores = [
        {"name": name, "relayed": sum(map(len, one.relayed)), "pairs": sum(map(len, one.every))}
        | {figure: _interval(drawn[:, place, index]) for index, figure in enumerate(FIGURES)}
        for place, (name, one) in enumerate(by_policy.items())
    ]
    return {"case": case.name, "sites": len(case.sites), "scores": scores, "ahead": _interval(np.array(ahead))}


def _interval(values: Floats) -> list[float]:
    """Of all sources, then the 5th and 95th percentile of the resampled ones."""
    return [float(values[0]), *(float(value) for value in np.nanquantile(values[1:], (0.05, 0.95)))]


def _ahead(plains: Floats, ours: Floats) -> float:
    """Our speed-up less that of the plain margins' curve at our share of worse relays; direct alone is its start."""
    curve = sorted([(0.0, 1.0), *((row[1], row[0]) for row in plains)])
    best = np.maximum.accumulate([speed_up for _, speed_up in curve])
    return float(ours[0] - np.interp(ours[1], [worse for worse, _ in curve], best))


def told(found: dict[str, Any]) -> str:
    lines = [f"{found['case']} ({found['sites']} sites)", f"  {'':24}" + "".join(f"{name:>22}" for name in FIGURES)]
    for one in found["scores"]:
        speed_up = "{:.3f} [{:.3f}, {:.3f}]".format(*one["speed-up"])
        shares = ["{:.1%} [{:.1%}, {:.1%}]".format(*one[figure]) for figure in FIGURES[1:]]
        lines.append(
            f"  {one['name']:24}" + "".join(f"{text:>22}" for text in (speed_up, *shares)) + f"{one['relayed']:7}"
        )
    ahead = "{:+.3f} [{:+.3f}, {:+.3f}]".format(*found["ahead"])
    return "\n".join([*lines, f"  ahead of plain margins by {ahead}; {found['scores'][0]['pairs']} pairs", ""])


if __name__ == "__main__":
    sys.exit(main())
