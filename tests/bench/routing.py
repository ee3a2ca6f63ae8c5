"""The router's arithmetic beside scipy's and networkx's, in one run, with equal results checked.

    python -m tests.bench.routing [--sites 1000] [--runs 5]

A random mesh; times are processor time, minimum / median / maximum. Ours finds the best single relay of all pairs;
scipy and networkx find the same as shortest paths of two links in a graph of three layers, on as many sites as they
take a few seconds for. Floyd–Warshall is beside it at full size, though its paths have any number of relays: they
must never be longer than ours. Exit status 1: results differ, or a target is missed (all pairs of 1,000 sites in 1 s
under an objective, what is lost alone in 20 ms, one pair's answer in 1 ms). At the end the routes of all pairs of 30
and 200 sites are made as columns and documents, equal to the answers about each pair.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, permutations

import networkx as nx
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra, floyd_warshall

from collector.api.mesh_routes import mesh_rows
from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import best_relays
from collector.routing.costs import forecast_goodputs
from collector.routing.route_columns import site_routes
from collector.routing.route_question import RouteQuestion
from collector.routing.router import Router
from collector.settings import RoutingSettings
from linkweather.mesh import Mesh
from linkweather.models.routes import MeshRoutes, Objective, RouteAnswer
from tests.collector.routing.deciding import decide_all

Floats = npt.NDArray[np.floating]
SCIPY_SITES, NETWORKX_SITES = 300, 100
TARGETS_S = {
    "all pairs, latency": 1.0,
    "all pairs, goodput": 1.0,
    "what is lost alone": 0.02,
    "one pair": 0.001,
    "one pair, completion": 0.001,
}


@dataclass
class Timed:
    """Prints the times of one job after another and remembers the medians."""

    runs: int

    def __post_init__(self) -> None:
        self.medians_s: dict[str, float] = {}

    def __call__(self, name: str, job: Callable[[], object], repeats: int = 1) -> None:
        found = sorted(_seconds(job, repeats) for _ in range(self.runs))
        self.medians_s[name] = statistics.median(found)
        low, middle, high = (1e3 * value for value in (found[0], self.medians_s[name], found[-1]))
        print(f"{name:42} {low:10.3f} / {middle:10.3f} / {high:10.3f} ms, n = {self.runs}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    timed = Timed(options.runs)
    costs = random_costs(options.sites)
    equal = [beside_scipy(timed, costs), beside_networkx(timed, costs), beside_floyd_warshall(timed, costs)]
    router_alone(timed, costs)
    equal += [all_pairs_at_once(timed, count) for count in (30, 200)]
    missed = [name for name, limit_s in TARGETS_S.items() if timed.medians_s[name] > limit_s]
    print(f"results equal: {all(equal)}; targets missed: {', '.join(missed) or 'none'}")
    return 0 if all(equal) and not missed else 1


def random_costs(sites: int) -> Floats:
    costs = np.random.default_rng(1).uniform(0.001, 0.3, (sites, sites)).astype(np.float32)
    np.fill_diagonal(costs, np.inf)
    return costs


def ours(costs: Floats) -> Floats:
    """What the best single relay of every pair costs."""
    vias, sites = best_relays(costs, costs, np.add), np.arange(len(costs))
    return costs[sites[:, None], vias] + costs[vias, sites]


def beside_scipy(timed: Timed, costs: Floats) -> bool:
    part = costs[:SCIPY_SITES, :SCIPY_SITES]
    timed(f"ours, {len(part)} sites", lambda: ours(part))
    timed(f"scipy, Dijkstra in layers, {len(part)} sites", lambda: by_scipy(part))
    _ratio(timed, f"scipy, Dijkstra in layers, {len(part)} sites", f"ours, {len(part)} sites")
    return bool(np.allclose(_off(ours(part)), _off(by_scipy(part)), rtol=1e-5))


def by_scipy(costs: Floats) -> Floats:
    sites = len(costs)
    rows, columns = np.nonzero(np.isfinite(costs))
    both = (np.concatenate((rows, rows + sites)), np.concatenate((columns + sites, columns + 2 * sites)))
    layers = coo_matrix((np.tile(costs[rows, columns], 2), both), shape=(3 * sites, 3 * sites)).tocsr()
    return np.asarray(dijkstra(layers, indices=np.arange(sites))[:, 2 * sites :])


def beside_networkx(timed: Timed, costs: Floats) -> bool:
    part = costs[:NETWORKX_SITES, :NETWORKX_SITES]
    timed(f"ours, {len(part)} sites", lambda: ours(part))
    timed(f"networkx, Dijkstra in layers, {len(part)} sites", lambda: by_networkx(part))
    _ratio(timed, f"networkx, Dijkstra in layers, {len(part)} sites", f"ours, {len(part)} sites")
    return bool(np.allclose(_off(ours(part)), _off(by_networkx(part)), rtol=1e-5))


def by_networkx(costs: Floats) -> Floats:
    layers = nx.DiGraph()
    for src, dst in np.argwhere(np.isfinite(costs)).tolist():
        cost = float(costs[src, dst])
        layers.add_edge((src, 0), (dst, 1), weight=cost)
        layers.add_edge((src, 1), (dst, 2), weight=cost)
    found = np.full(costs.shape, np.inf)
    for src in range(len(costs)):
        for (site, layer), length in nx.single_source_dijkstra_path_length(layers, (src, 0)).items():
            if layer == 2:
                found[src, site] = length
    return found


def beside_floyd_warshall(timed: Timed, costs: Floats) -> bool:
    timed("all pairs, latency", lambda: best_relays(costs, costs, np.add))
    timed("all pairs, goodput", lambda: best_relays(costs, costs, np.maximum))
    timed("scipy, Floyd–Warshall", lambda: floyd_warshall(costs))
    _ratio(timed, "scipy, Floyd–Warshall", "all pairs, latency")
    return bool((_off(floyd_warshall(costs)) <= _off(np.minimum(costs, ours(costs))) * (1 + 1e-5)).all())


def router_alone(timed: Timed, costs: Floats) -> None:
    """The whole of a decision: costs, hold-down, ranking, the rule; under both objectives."""
    sites = tuple(f"s{number}" for number in range(len(costs)))
    mesh = Mesh.model_validate({"sites": {site: {"address": f"{site}.test"} for site in sites}})
    router = Router(RoutingSettings(), mesh)
    rtt = np.where(np.isfinite(costs), costs, np.nan).astype(float)
    now = Snapshot.of(sites, rtt_p50_s=rtt, goodput_p50_bps=1e9 * rtt)
    goodputs = forecast_goodputs(now)
    timed("decide, both objectives", lambda: decide_all(router, now, goodputs=goodputs))
    cut = rtt.copy()
    cut[1, 2] = np.nan
    changing = cycle((Snapshot.of(sites, rtt_p50_s=cut, goodput_p50_bps=1e9 * rtt), now))  # a link goes, and comes back
    timed("what is lost alone", lambda: list(router.steps(next(changing), goodputs=goodputs, only_lost=True)))
    pairs, others = permutations(sites, 2), permutations(sites, 2)
    timed("one pair", lambda: router.route(_question(next(pairs), "latency")), 20)
    timed("one pair, goodput", lambda: router.route(_question(next(others), "goodput")), 20)
    timed(
        "one pair, completion",
        lambda: router.route(RouteQuestion(src="s1", dst="s7", objective="completion", bytes=1e9)),
        20,
    )
    timed("one pair, two relays", lambda: router.route(RouteQuestion(src="s1", dst="s7", max_relays=2)))


def _question(pair: tuple[str, str], objective: Objective) -> RouteQuestion:
    return RouteQuestion(src=pair[0], dst=pair[1], objective=objective)


def all_pairs_at_once(timed: Timed, count: int) -> bool:
    """The routes of all pairs, as columns and as documents, and the same pairs asked about one by one."""
    sites, rtt = tuple(f"s{number}" for number in range(count)), random_costs(count).astype(float)
    mesh = Mesh.model_validate({"sites": {site: {"address": f"{site}.test"} for site in sites}})
    router = Router(RoutingSettings(), mesh)
    rtt[~np.isfinite(rtt)] = np.nan
    decide_all(router, Snapshot.of(sites, at=1.8e9, rtt_p50_s=rtt, goodput_p50_bps=1e9 * rtt))
    view = router.view("latency")
    assert view is not None
    answers = [router.route(RouteQuestion(src=src, dst=dst)) for src, dst in permutations(sites, 2)]
    timed(f"columns of all pairs, {count} sites", lambda: view.columns(view.every_pair()))
    timed(f"document of all pairs, {count} sites", lambda: b"".join(mesh_rows(view)))
    timed(f"document of a site, {count} sites", lambda: site_routes(0, {"latency": view}))
    routed = {(one.src, one.dst): one.path.sites for one in answers if isinstance(one, RouteAnswer)}
    found = MeshRoutes.model_validate_json(b"".join(mesh_rows(view)))
    return routed == {(one.src, one.dst): one.path.sites for one in found.routes}


def _seconds(job: Callable[[], object], repeats: int) -> float:
    started = time.process_time()
    for _ in range(repeats):
        job()
    return (time.process_time() - started) / repeats


def _off(costs: Floats) -> Floats:
    """All but the diagonal."""
    return costs[~np.eye(len(costs), dtype=bool)]


def _ratio(timed: Timed, theirs: str, own: str) -> None:
    print(f"  {timed.medians_s[theirs] / timed.medians_s[own]:.1f} times ours")


if __name__ == "__main__":
    sys.exit(main())
