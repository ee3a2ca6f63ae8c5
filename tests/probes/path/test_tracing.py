"""The daemon's tracing with traces made by hand: rows, failures, what is remembered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from linkweather.errors import MeasurementError
from linkweather.mesh import Mesh, PathTests, Site
from linkweather.wire import PathRow
from probes.path.identity import first_key
from probes.path.route_store import Memory
from probes.path.tracer_lines import Request
from probes.path.tracer_process import Traced
from probes.path.tracing import Tracing, conclude
from tests.probes.path.samples import END, samples


def traced(*flows: str) -> Traced:
    return Traced(END, tuple(samples(*flows)), 1500)


def mesh(address: str = END, *, enabled: bool = True) -> Mesh:
    sites = {"a": Site(address="192.0.2.1"), "b": Site(address=address, tcp_port=8443)}
    return Mesh(sites=sites, path=PathTests(enabled=enabled, every_s=0.01, method="tcp", flows=2))


async def rows(
    count: int, answers: Iterator[Traced | MeasurementError], *meshes: Mesh, memory: Memory | None = None
) -> tuple[list[PathRow], list[Request]]:
    """The first rows of a site that follows these meshes, the next after each row."""
    found: list[PathRow] = []
    asked: list[Request] = []
    following = iter(meshes)
    enough = asyncio.Event()

    async def answer(request: Request) -> Traced:
        asked.append(request)
        one = next(answers)
        if isinstance(one, MeasurementError):
            raise one
        return one

    def report(row: PathRow) -> None:
        found.append(row)
        if len(found) == count:
            enough.set()
        for after in following:
            tracing.follow(after)
            break

    kept = memory or Memory()
    tracing = Tracing("a", report, memory=kept, bind=("192.0.2.1",), rng=random.Random(1), trace=answer)
    tracing.follow(next(following))
    running = asyncio.create_task(tracing.run())
    async with asyncio.timeout(10):
        await enough.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    kept.close()
    return found, asked


async def test_request_says_what_the_mesh_says() -> None:
    _, asked = await rows(1, iter([traced("r E")]), mesh())
    expected = Request(host=END, method="tcp", port=8443, flows=2, bind=("192.0.2.1",), first_key=first_key("a", "b"))
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
        (row,), _ = await rows(1, iter([traced(flows)]), mesh(), memory=Memory(file))
        assert row.changed == changed


def test_flows_of_a_link_are_its_own_and_no_port_of_other_programs() -> None:
    assert first_key("a", "b") != first_key("b", "a")
    assert all(61_000 <= first_key("a", f"s{number}") < 65_000 for number in range(1000))


def test_path_that_nobody_answers_on_is_a_failure_and_forgets_nothing() -> None:
    _, known = conclude("a", "b", "udp", traced("r E"), ())
    row, after = conclude("a", "b", "udp", traced(". ."), known)
    assert (row.failure, row.detail) == ("no_reply", f"neither {END} nor any router on the way answers")
    assert after == known
