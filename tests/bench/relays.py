"""Relays chosen by the product on grids of goodput, scored on another grid: the gain over direct, and the regret.

Grids are CSV files with the columns src, dst and goodput_bps; empty cells and missing rows are links that nobody
measured. `--decide` may be given more than once, the latest last. What stands before a colon in a site's name, if
anything, is its operator. The speed-up is the geometric mean over all scored pairs, direct ones counting 1; `worse`
is the share of relays taken whose worst leg then is slower than direct. A pair whose direct link nobody measured
stays direct, and whose scored links are missing is not scored.

Run: python -m tests.bench.relays --decide A.csv [--decide B.csv] --score C.csv [--decisions OUT.csv] [--json]
Exit status 1: a speed-up below 1.31, or more than 6.5 % of relays worse than direct; 2: wrong usage, or a bad file.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import DIRECT
from collector.routing.costs import GoodputEstimate
from collector.routing.goodput_estimate import Blocks, Observed, estimated
from collector.routing.router import Router
from collector.settings import RoutingSettings
from linkweather.errors import OperatorError
from linkweather.mesh import Mesh

SPEED_UP = 1.31
WORSE = 0.065
COLUMNS = ("src", "dst", "goodput_bps")

Floats = npt.NDArray[np.floating]
Vias = npt.NDArray[np.int32]
Grid = dict[tuple[str, str], float]


@dataclass(frozen=True, kw_only=True)
class Score:
    """`pairs` were scored, `relayed` of them by relay."""

    name: str
    speed_up: float
    worse: float
    relayed: int
    pairs: int

    def __str__(self) -> str:
        return f"{self.name:24} {self.speed_up:8.3f} {self.worse:7.1%} {self.relayed:8} {self.pairs:8}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decide", type=Path, action="append", required=True, metavar="CSV")
    parser.add_argument("--score", type=Path, required=True, metavar="CSV")
    parser.add_argument("--decisions", type=Path, metavar="CSV", help="write src, dst, via; via is empty for direct")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        return _bench(options)
    except OperatorError as error:
        print(error, file=sys.stderr)
        return 2


def _bench(options: argparse.Namespace) -> int:
    decided, scored = [read(path) for path in options.decide], read(options.score)
    sites = sorted({site for grid in (*decided, scored) for link in grid for site in link})
    grids, truth = [matrix(grid, sites) for grid in decided], matrix(scored, sites)
    started = time.process_time()
    vias = chosen(grids, sites)
    seconds = time.process_time() - started
    ours = score("ours", vias, truth)
    if not ours.pairs:
        raise OperatorError(
            f"{options.score}: has no pair to score: neither a direct link, nor one with both legs of its relay"
        )
    if options.decisions:
        write(options.decisions, vias, sites)
    scores = [*_plain(grids[-1], truth), ours, score("oracle", plain(truth, 1.0), truth)]
    passed = ours.speed_up >= SPEED_UP and ours.worse <= WORSE
    if options.json:
        print(json.dumps({"scores": [asdict(one) for one in scores], "processor_s": seconds, "passed": passed}))
    else:
        _tell(scores, len(sites), seconds, passed=passed)
    return 0 if passed else 1


def _plain(grid: Floats, truth: Floats) -> list[Score]:
    return [score(f"plain, margin {margin:g}", plain(grid, margin), truth) for margin in (1.0, 1.1, 1.25)]


def _tell(scores: Sequence[Score], sites: int, seconds: float, *, passed: bool) -> None:
    print(f"{'':24} {'speed-up':>8} {'worse':>7} {'relayed':>8} {'pairs':>8}", *scores, sep="\n")
    print(f"{sites} sites decided in {seconds:.2f} s of processor time")
    print(f"{'reached' if passed else 'MISSED'}: a speed-up of {SPEED_UP} with {WORSE:.1%} worse")


def read(path: Path) -> Grid:
    """The links that a file has a goodput for. Raises OperatorError."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if missing := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
                raise OperatorError(f"{path}: has no column {missing[0]!r}; the columns are src, dst and goodput_bps")
            grid = {}
            for number, row in enumerate(rows, start=2):
                if (row["goodput_bps"] or "").strip() and row["src"] != row["dst"]:
                    grid[_link(row, path, number)] = _goodput_bps(row, path, number)
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise OperatorError(f"{path}: is not a CSV file ({error})") from None
    if not grid:
        raise OperatorError(f"{path}: has no goodput of any link")
    return grid


def _link(row: dict[str, str], path: Path, number: int) -> tuple[str, str]:
    if not row["src"] or not row["dst"]:
        raise OperatorError(f"{path}, line {number}: names no {'dst' if row['src'] else 'src'}")
    return row["src"], row["dst"]


def _goodput_bps(row: dict[str, str], path: Path, number: int) -> float:
    try:
        goodput_bps = float(row["goodput_bps"])
    except ValueError:
        raise OperatorError(f"{path}, line {number}: goodput_bps {row['goodput_bps']!r} is not a number") from None
    if not goodput_bps >= 0 or math.isinf(goodput_bps):
        raise OperatorError(f"{path}, line {number}: goodput_bps {row['goodput_bps']} is not 0 or more")
    return goodput_bps


def matrix(grid: Grid, sites: Sequence[str]) -> Floats:
    """[src, dst]; NaN where there is no goodput: of a link that carried nothing a grid tells no rate."""
    position = {site: index for index, site in enumerate(sites)}
    goodputs = np.full((len(sites), len(sites)), np.nan)
    for (src, dst), goodput_bps in grid.items():
        goodputs[position[src], position[dst]] = goodput_bps or np.nan
    return goodputs


def operators(sites: Sequence[str]) -> list[str | None]:
    return [before if colon else None for before, colon, _ in (site.partition(":") for site in sites)]


def pooled(grids: Sequence[Floats], operators: Sequence[str | None], recency: float = 0.75) -> Observed:
    """Grids of goodput, the latest last, as observations; each earlier one counts `recency` of its successor.

    The differences between the grids say how much links of these operators vary.
    """
    logs = np.log(np.stack(grids))
    weights = np.where(np.isfinite(logs), (recency ** np.arange(len(logs))[::-1])[:, None, None], 0.0)
    samples, total = np.isfinite(logs).sum(axis=0), weights.sum(axis=0)
    log = _ratio(np.sum(weights * np.nan_to_num(logs), axis=0), total)
    apart = np.nansum((logs - log) ** 2, axis=0)
    blocks = Blocks.of(operators, log)
    freedom = np.where(samples > 1, samples - 1.0, 0.0)
    variance = _ratio(blocks.sums(apart * (freedom > 0)), blocks.sums(freedom))
    return Observed(log=log, samples=samples.astype(float), spread=np.where(freedom > 0, np.sqrt(variance), np.nan))


def _ratio(above: Floats, below: Floats) -> Floats:
    shares: Floats = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
    return shares


def chosen(grids: Sequence[Floats], sites: Sequence[str]) -> Vias:
    """The relay of every pair as the product's router puts it into force; DIRECT where it takes none."""
    goodputs = estimated(pooled(grids, operators(sites)), operators(sites)).goodputs()
    return routed(goodputs, len(sites))


def routed(goodputs: GoodputEstimate, count: int) -> Vias:
    names = [f"s{index}" for index in range(count)]
    mesh = Mesh.model_validate(
        {"mesh": {"name": "grid"}, "sites": {name: {"address": f"{name}.example"} for name in names}}
    )
    router = Router(RoutingSettings(), mesh)
    router.decide(Snapshot.of(names, goodput_p50_bps=goodputs.expected_bps), goodputs=goodputs)
    vias = np.maximum(router.relays("goodput"), np.int32(DIRECT))
    return np.where(np.isfinite(goodputs.expected_bps), vias, np.int32(DIRECT))


def plain(grid: Floats, margin: float) -> Vias:
    """The relay that is best as measured, where it beats direct by the margin."""
    goodputs = np.where(np.isfinite(grid), grid, -np.inf)
    vias = np.full(grid.shape, DIRECT, np.int32)
    for src, row in enumerate(goodputs):
        worst_legs = np.minimum(row[:, None], goodputs)
        best = worst_legs.argmax(axis=0)
        beats = worst_legs.max(axis=0) > margin * grid[src]  # never, where direct is not known
        vias[src] = np.where(beats, best, DIRECT)
    return vias


def score(name: str, vias: Vias, truth: Floats) -> Score:
    rows, columns = np.indices(vias.shape)
    relayed = vias >= 0
    via = np.where(relayed, vias, 0)
    got = np.where(relayed, np.minimum(truth[rows, via], truth[via, columns]), truth)
    counted = np.isfinite(got) & np.isfinite(truth)
    gains, taken = np.log(got[counted] / truth[counted]), relayed[counted]
    uses = int(np.count_nonzero(taken))
    return Score(
        name=name,
        speed_up=float(np.exp(gains.mean())) if len(gains) else math.nan,
        worse=int(np.count_nonzero(gains < 0)) / max(uses, 1),
        relayed=uses,
        pairs=len(gains),
    )


def write(path: Path, vias: Vias, sites: Sequence[str]) -> None:
    """Raises OperatorError."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(("src", "dst", "via"))
            for src, dst in np.argwhere(~np.eye(len(sites), dtype=bool)):
                via = vias[src, dst]
                rows.writerow((sites[src], sites[dst], sites[via] if via >= 0 else ""))
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
