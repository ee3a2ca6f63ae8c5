"""The daemon's tracing with traces made by hand: rows, failures, what is remembered."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from linkweather.errors import MeasurementError
from linkweather.mesh import Group, Mesh, PathTests, Site
from linkweather.mesh.groups import GroupPath
from linkweather.wire import PathRow
from probes.path.replies import first_key
from probes.path.route_store import RouteStore
from probes.path.tracer_lines import TraceRequest
from probes.path.tracer_process import Traced
from probes.path.tracing import TraceTurn, Tracing, complete, conclude, next_turn
from tests.probes.path.samples import END, samples


def traced(*flows: str) -> Traced:
    return Traced(END, tuple(samples(*flows)), 1500)


def mesh(address: str = END, *, enabled: bool = True) -> Mesh:
    sites = {"a": Site(address="192.0.2.1"), "b": Site(address=address, tcp_port=8443)}
    return Mesh(sites=sites, path=PathTests(enabled=enabled, every_s=0.01, method="tcp", flows=2))


async def rows(
    count: int, answers: Iterator[Traced | MeasurementError], *meshes: Mesh, memory: RouteStore | None = None
) -> tuple[list[PathRow], list[TraceRequest]]:
    """The first rows of a site that follows these meshes, the next after each row."""
    found: list[PathRow] = []
    asked: list[TraceRequest] = []
    following = iter(meshes)
    enough = asyncio.Event()

    async def answer(request: TraceRequest) -> Traced:
        asked.append(request)
        one = next(answers)
        if isinstance(one, MeasurementError):
            raise one
        return one

    def report(rows: Sequence[PathRow]) -> None:
        found.extend(rows)
        if len(found) == count:
            enough.set()
        for after in following:
            tracing.apply_mesh(after)
            break

    kept = memory or RouteStore()
    tracing = Tracing("a", report, memory=kept, bind=("192.0.2.1",), rng=random.Random(1), trace=answer)
    tracing.apply_mesh(next(following))
    running = asyncio.create_task(tracing.run())
    async with asyncio.timeout(90):
        await enough.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    kept.close()
    return found, asked


async def test_request_says_what_the_mesh_says() -> None:
    _, asked = await rows(1, iter([traced("r E")]), mesh())
    expected = TraceRequest(
        host=END, method="tcp", port=8443, flows=2, bind=("192.0.2.1",), first_key=first_key("a", "b")
    )
    assert asked == [expected]


async def test_failure_is_a_row_and_no_change() -> None:
    answers: list[Traced | MeasurementError] = [traced("r E"), MeasurementError("timeout", "too long"), traced("r E")]
    (first, failed, third), _ = await rows(3, iter(answers), mesh())
    assert (failed.failure, failed.detail, failed.hops) == ("timeout", "too long", ())
    assert first.fingerprint == third.fingerprint
    assert not third.changed


async def test_change_comes_with_the_hops_before_it() -> None:
    (first, second), _ = await rows(2, iter([traced("r E"), traced("s E")]), mesh())
    assert (second.changed, second.before) == (True, first.hops)
    assert (first.changed, first.before) == (False, None)


async def test_other_address_is_another_link_whose_path_has_not_changed() -> None:
    moved = mesh("192.0.2.50")
    (_, second), asked = await rows(2, iter([traced("r E"), traced("s t E")]), mesh(), moved)
    assert asked[1].host == "192.0.2.50"
    assert not second.changed


async def test_restart_invents_no_change_and_misses_none(tmp_path: Path) -> None:
    file = tmp_path / "routes.sqlite"
    for flows, changed in (("r E", False), ("r E", False), ("s E", True), ("s E", False)):
        (row,), _ = await rows(1, iter([traced(flows)]), mesh(), memory=RouteStore(file))
        assert row.changed == changed


def test_flows_of_a_link_are_its_own_and_no_port_of_other_programs() -> None:
    assert first_key("a", "b") != first_key("b", "a")
    assert all(61_000 <= first_key("a", f"s{number}") < 65_000 for number in range(1000))


def test_path_that_nobody_answers_on_is_a_failure_and_forgets_nothing() -> None:
    _, known = conclude("a", "b", "udp", traced("r E"), ())
    row, after = conclude("a", "b", "udp", traced(". ."), known)
    assert (row.failure, row.detail) == ("no_reply", f"neither {END} nor any router on the way answers")
    assert after == known


def turn(peers: list[str], traced: dict[str, float], every_s: float = 300.0) -> TraceTurn | None:
    return next_turn(dict.fromkeys(peers, every_s), traced, began=1000.0, share=0.5)


def test_first_turn_is_within_half_a_minute() -> None:
    assert turn(["b"], {}) == TraceTurn(1015.0, "b")
    # Ten seconds are all that one of six peers has of a minute.
    assert turn(list("bcdefg"), {}, 60.0) == TraceTurn(1005.0, "b")


def test_new_peers_come_first_half_a_minute_apart() -> None:
    assert turn(["b", "c"], {"b": 2000.0}) == TraceTurn(2030.0, "c")


def test_known_peers_share_the_period_evenly() -> None:
    assert turn(["b", "c", "d"], {"b": 2000.0, "c": 2030.0, "d": 2060.0}) == TraceTurn(2160.0, "b")


def test_nobody_to_trace_is_no_turn() -> None:
    assert turn([], {}) is None


def test_every_peer_has_its_turn_once_in_a_period() -> None:
    peers, traced, now = list("bcdef"), dict[str, float](), 1000.0
    starts: dict[str, list[float]] = {peer: [] for peer in peers}
    while now < 5000.0:
        due = turn(peers, traced)
        assert due is not None
        now = max(now, due.at)
        traced[due.peer] = now
        starts[due.peer].append(now)
    for times in starts.values():
        gaps = [late - early for early, late in itertools.pairwise(times[1:])]
        assert gaps == [pytest.approx(300.0)] * len(gaps)
        assert len(gaps) >= 10


def test_peers_with_periods_of_their_own_are_traced_as_often_as_each_asks() -> None:
    every_s, traced, now, count = {"b": 100.0, "c": 400.0}, {"b": 1000.0, "c": 1000.0}, 1000.0, {"b": 0, "c": 0}
    while now < 41_000.0:
        due = next_turn(every_s, traced, began=1000.0, share=0.5)
        assert due is not None
        now = traced[due.peer] = due.at
        count[due.peer] += 1
    assert count == {"b": pytest.approx(400, abs=2), "c": pytest.approx(100, abs=2)}


async def test_a_peer_whose_group_traces_no_paths_is_not_traced() -> None:
    sites = {name: Site(address=f"192.0.2.{number}") for number, name in enumerate("abc", 1)}
    quiet = Group(name="quiet", sites=("a", "b"), path=GroupPath(enabled=False))
    whole = Mesh(sites=sites, path=PathTests(every_s=0.01), groups=(quiet, Group(name="all")))
    found, _ = await rows(3, itertools.repeat(traced("r E")), whole)
    assert {row.dst for row in found} == {"c"}


def row(*, changed: bool = False) -> PathRow:
    return PathRow(src="a", dst="b", method="udp", failure="no_reply", changed=changed)


def test_rows_wait_for_further_ones_where_there_are_many_peers() -> None:
    assert not complete([], 1, "b")
    assert complete([row()], 30, "c")
    assert not complete([row()], 31, "c")
    assert complete([row()], 1000, "b")
    assert complete([row(), row()], 60, "c")
    assert complete([row(), row(changed=True)], 1000, "c")


async def test_a_link_that_is_traced_oftener_than_others_stands_once_in_a_report() -> None:
    names = [f"s{number}" for number in range(50)]
    sites = {name: Site(address=f"198.51.0.{number + 1}") for number, name in enumerate(names)}
    often = Group(name="often", sites=("s0", "s1"), path=GroupPath(every_s=0.01))
    groups = (often, Group(name="all", path=GroupPath(every_s=10_000.0)))
    found: list[Sequence[PathRow]] = []
    three = asyncio.Event()

    def report(rows: Sequence[PathRow]) -> None:
        found.append(rows)
        if sum(row.dst == "s1" for rows in found for row in rows) > 2:
            three.set()

    async def answer(_: TraceRequest) -> Traced:
        return traced("r E")

    memory = RouteStore()
    tracing = Tracing("s0", report, memory=memory, bind=(), rng=random.Random(1), trace=answer)
    tracing.apply_mesh(Mesh(sites=sites, groups=groups))
    running = asyncio.create_task(tracing.run())
    async with asyncio.timeout(90):
        await three.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    memory.close()
    assert [len(rows) for rows in found] == [len({row.dst for row in rows}) for rows in found]


async def test_rows_that_wait_are_reported_together_and_at_the_end() -> None:
    sites = {f"s{number}": Site(address=f"198.51.{number // 250}.{number % 250 + 1}") for number in range(50)}
    found: list[Sequence[PathRow]] = []
    asked, more = asyncio.Event(), itertools.count(1)

    async def answer(_: TraceRequest) -> Traced:
        if next(more) == 4:
            asked.set()
            await asyncio.Event().wait()
        return traced("r E")

    memory = RouteStore()
    tracing = Tracing("s0", found.append, memory=memory, bind=(), rng=random.Random(1), trace=answer)
    tracing.apply_mesh(Mesh(sites=sites, path=PathTests(every_s=1.0)))
    running = asyncio.create_task(tracing.run())
    async with asyncio.timeout(90):
        await asked.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    memory.close()
    assert list(map(len, found)) == [2, 1]
