"""The view that collectors have together: three owners' rows make the snapshot, and the routes, of one collector."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from collector.cluster.cluster_links import ClusterLinks
from collector.cluster.mesh_view import Columns, MeshView, columns_of, mesh_digest, packed, unpacked
from collector.cluster.shares import share_of
from collector.linkstate.link_states import LinkStates
from collector.linkstate.snapshot import Snapshot
from collector.routing.goodput_estimate import shrunk
from collector.routing.router import Router
from collector.settings import RoutingSettings, StateSettings
from linkweather.mesh import Mesh
from linkweather.models.routes import Objective
from linkweather.wire import LatencyRow, PathRow, Row, ThroughputRow
from linkweather.wire.state_rows import StateRow, StateRowHead, decode_state_row, encode_state_row
from tests.collector.report_samples import every_link, moment
from tests.collector.routing.deciding import decide_all

OBJECTIVES: Sequence[Objective] = ("latency", "goodput")
SITES = [f"s{number}" for number in range(9)]
SETTINGS = StateSettings()
Report = tuple[str, float, list[Row]]


def mesh_of(sites: Sequence[str]) -> Mesh:
    return Mesh.model_validate({"sites": {site: {"address": f"192.0.2.{n}"} for n, site in enumerate(sites, start=1)}})


MESH = mesh_of(SITES)


def reports(seed: int, until: float = 200.0) -> Iterator[Report]:
    """What the sites report: RTTs with detours that relays avoid, losses, silence, goodput by `dst`, changed paths."""
    rng = random.Random(seed)
    base = {pair: rng.uniform(0.01, 0.08) for pair in MESH.pairs()}
    for at in np.arange(0.0, until, 5.0).tolist():
        for number, site in enumerate(SITES):
            others = [other for other in SITES if other != site]
            if site == "s3" and at > until / 2:
                continue
            yield site, at + number / 10, [rtt(rng, base[site, other], site, other, at) for other in others]
            if at % 50 == 0:
                src = rng.choice(others)
                row = ThroughputRow(src=src, dst=site, method="iperf3", goodput_bps=rng.lognormvariate(19.0, 0.5))
                yield site, at + 1 + number / 10, [row]
            if at == 150.0:
                yield (
                    site,
                    at + 2,
                    [PathRow(src=site, dst=others[0], method="udp", reached=True, fingerprint="f", changed=True)],
                )


def rtt(rng: random.Random, base_s: float, src: str, dst: str, at: float) -> LatencyRow:
    quiet: dict[str, Any] = {"src": src, "dst": dst, "method": "stamp", "sent": 50}
    if (src, dst) == ("s1", "s2") and at > 150:
        return LatencyRow(**quiet, received=0)
    p50_s = base_s * (1 + abs(rng.gauss(0, 0.02)))
    return LatencyRow(
        **quiet,
        received=rng.choice([50, 50, 45]),
        rtt_p50_s=p50_s,
        rtt_p95_s=p50_s * 1.1,
        owd_forward_p50_s=-0.0001,
        during_throughput=rng.random() < 0.1,
    )


@lru_cache
def observed(seed: int = 1, share: int = 0, count: int = 1, before: float = math.inf) -> LinkStates:
    """What the collector of a share, of `count`, has observed; the only one by default."""
    links = LinkStates(MESH, SETTINGS)
    for number, (site, at, rows) in enumerate(reports(seed)):
        if share_of(site, count) == share and at < before:
            links.observe(moment(at, seq=number), rows)
    return links


def row_of(links: LinkStates, view: MeshView, site: str, now: float) -> Columns:
    """What a collector puts into its view, and, by the wire, what all others get."""
    latency, goodput = view.places("latency", site), view.places("goodput", site)
    columns = columns_of(links.latency_columns(latency, now), links.goodput_columns(goodput, now))
    head = StateRowHead(at=now, by="one", mesh=view.digest, latency=len(latency[0]), goodput=len(goodput[0]))
    return unpacked(decode_state_row(encode_state_row(StateRow(head, packed(columns)))))


def view_of(owners: Sequence[LinkStates], count: int, now: float) -> MeshView:
    view = MeshView(MESH, SETTINGS)
    for site in SITES:
        view.put(site, row_of(owners[share_of(site, count)], view, site, now), now)
    return view


def paths(snapshots: Sequence[Snapshot]) -> list[list[list[int]]]:
    router = Router(RoutingSettings(), MESH)
    found = []
    for snapshot in snapshots:
        decide_all(router, snapshot, goodputs=shrunk(snapshot, [None] * len(SITES)))
        found += [router.relays(objective).tolist() for objective in OBJECTIVES]
    return found


def matrices(snapshot: Snapshot) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(snapshot, name)) for name in Snapshot.__dataclass_fields__ if name not in ("sites", "at"))


def test_the_rows_of_one_owner_make_its_own_snapshot_and_routes_to_the_last_bit() -> None:
    single = observed()
    one, other = single.snapshot(200.0), view_of([single], 1, 200.0).snapshot(200.0)
    for (name, matrix), (_, read) in zip(matrices(one), matrices(other), strict=True):
        if name in ("jitter_s", "owd_p50_s"):  # in single precision
            np.testing.assert_allclose(matrix, read, rtol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(matrix, read, err_msg=name)
    assert paths([one]) == paths([other])
    assert any(via >= 0 for found in paths([one]) for row in found for via in row)  # relays are worth it here


def test_a_row_ages_with_its_reader() -> None:
    """What the owner would say then, but for what it learns meanwhile of the usual errors of all links."""
    single = observed()
    view = view_of([single], 1, 200.0)
    for now in (215.0, 250.0, 600.0):
        one, other = single.snapshot(now), view.snapshot(now)
        for name in ("usable", "fresh", "goodput_usable", "goodput_fresh", "rtt_age_s", "rtt_samples", "goodput_age_s"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        np.testing.assert_allclose(one.rtt_p90_s, other.rtt_p90_s, rtol=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_three_owners_decide_as_a_single_collector_does(seed: int) -> None:
    """An owner learns from its own links how large errors usually are: a path may differ where two are about equal."""
    single = observed(seed)
    owners = [observed(seed, share, 3) for share in range(3)]
    one, other = view_of(owners, 3, 200.0).snapshot(200.0), single.snapshot(200.0)
    for name in ("usable", "fresh", "goodput_usable", "goodput_fresh", "loss_ratio", "rtt_samples", "rtt_age_s"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_allclose(one.rtt_p50_s, other.rtt_p50_s, rtol=0.05)
    shared, alone = np.array(paths([one])), np.array(paths([other]))
    assert np.count_nonzero(shared != alone) <= 0.05 * alone.size
    for src, dst in np.argwhere(shared[0] != alone[0]):
        costs = [path_cost(other, src, dst, via[0][src, dst]) for via in (shared, alone)]
        assert costs[0] == pytest.approx(costs[1], rel=0.05)


def path_cost(snapshot: Snapshot, src: int, dst: int, via: int) -> float:
    rtt_s = snapshot.rtt_p50_s
    return float(rtt_s[src, dst] if via < 0 else rtt_s[src, via] + rtt_s[via, dst])


def test_an_older_row_changes_nothing_and_a_successor_that_knows_less_loses_nothing() -> None:
    single = observed()
    view, now = view_of([single], 1, 200.0), 201.0
    before = dict(matrices(view.snapshot(now)))
    for links in (LinkStates(MESH, SETTINGS), observed(before=100.0)):
        view.put("s0", row_of(links, view, "s0", now), now)
        for name, matrix in matrices(view.snapshot(now)):
            np.testing.assert_array_equal(matrix, before[name], err_msg=name)


def test_a_time_ahead_of_this_collector_s_clock_counts_as_now() -> None:
    view = view_of([observed()], 1, 200.0)
    assert view.snapshot(100.0).fresh.any()
    ahead = MeshView(MESH, SETTINGS)
    ahead.put("s0", view.columns("s0"), 100.0)
    assert not ahead.snapshot(100.0 + SETTINGS.expired_after_reports * 5 + 1).usable.any()


def test_what_no_collector_writes_is_unknown() -> None:
    view = view_of([observed()], 1, 200.0)
    latency = view.places("latency", "s0")
    columns = {key: column.copy() for key, column in view.columns("s0").items()}
    columns["latency", "p50"][:] = [-1.0, np.inf, np.nan, *[0.01] * 5]
    columns["latency", "contact_at"][:1] = np.nan
    head = StateRowHead(at=1.0, by="one", mesh="m", latency=len(latency[0]), goodput=len(latency[0]))
    content = packed(columns)
    content["latency", "up"] = b"\x02" * 8
    found = unpacked(StateRow(head, content))
    assert np.isnan(found["latency", "p50"]).tolist() == [True, True, True, *[False] * 5]
    assert found["latency", "contact_at"][0] == -np.inf
    assert found["latency", "up"].tolist() == [True] * 8
    assert found["latency", "owd_p50_s"][1] < 0


def test_a_changed_mesh_keeps_what_is_known_of_links_that_stay() -> None:
    view = view_of([observed()], 1, 200.0)
    before = view.snapshot(200.0)
    changed = mesh_of(["new", *SITES[5:], *SITES[:3]])
    view.apply_mesh(changed)
    after = view.snapshot(200.0)
    assert after.sites == tuple(changed.sites)
    one, other = (snapshot.rtt_p90_s[snapshot.position["s6"], snapshot.position["s1"]] for snapshot in (before, after))
    assert one == other > 0
    assert not after.usable[after.position["new"]].any()
    assert view.digest == mesh_digest(changed) != mesh_digest(MESH)


def test_a_mesh_of_some_links_has_rows_of_those_alone() -> None:
    sites = {site: {"address": f"192.0.2.{number}"} for number, site in enumerate("abc", start=1)}
    links = [{"src": "a", "dst": "b", "both": True}, {"src": "c", "dst": "a"}]
    view = MeshView(Mesh.model_validate({"sites": sites, "links": links}), SETTINGS)
    assert [place.tolist() for place in view.places("latency", "a")] == [[0], [1]]
    assert [place.tolist() for place in view.places("goodput", "a")] == [[1, 2], [0, 0]]
    assert [place.tolist() for place in view.places("goodput", "c")] == [[], []]


def test_a_collector_answers_for_others_sites_by_their_rows_and_in_full_for_its_own() -> None:
    """A link's latency is its source's collector's to know, its goodput its destination's."""
    single = observed()
    view = view_of([single], 1, 200.0)
    links = ClusterLinks(single, view, lambda site: share_of(site, 3) == 0)
    truth = {(one.src, one.dst): one for one in every_link(single, 201.0)}
    for one in every_link(links, 201.0):
        known = truth[one.src, one.dst]
        assert (one.state, one.goodput_state) == (known.state, known.goodput_state)
        for name in ("loss_ratio", "rtt_forecast_p50_s", "goodput_forecast_p90_bps"):
            figure, expected = getattr(one, name), getattr(known, name)
            assert figure == (expected and pytest.approx(expected, rel=1e-5)), name
        assert (one.rtt_p99_s, one.method) == (
            (known.rtt_p99_s, known.method) if share_of(one.src, 3) == 0 else (None, None)
        )
        assert one.goodput_bps == (known.goodput_bps if share_of(one.dst, 3) == 0 else None)
        assert links.link(one.src, one.dst, 201.0) == one
    assert links.link("s0", "nowhere", 201.0) is None
    places, last = links.page(7, None)
    every = [(one.src, one.dst) for one in every_link(links, 201.0)]
    assert [every[place] for place in places] == sorted(every)[:7]
    assert last == sorted(every)[6]
    page, whole = links.table(201.0, places), links.table(201.0)
    for name in whole.columns:
        assert page.values(name) == whole.values(name, places), name
    assert links.counts(201.0) == single.counts(201.0)
    assert not links.refresh_some(201.0)
    np.testing.assert_array_equal(links.snapshot(201.0).usable, single.snapshot(201.0).usable)
    assert {one.state for one in truth.values()} >= {"fresh", "down"}
