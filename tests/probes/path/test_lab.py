"""Real traces in a lab with routers: hops, labels, parallel paths, path MTU, and a change that is noticed."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from linkweather import settings
from linkweather.lab.lab import Lab
from linkweather.lab.labfile import LabFile, mesh_of, shipped
from linkweather.mesh import PathMethod
from linkweather.wire import PathRow
from probes.adhoc.adhoc_path import TracedPath, text
from probes.path.route_store import RouteStore
from probes.path.traced_route import hops, reached, steps
from probes.path.tracer_lines import TraceRequest
from probes.path.tracer_process import TRACER, Traced, run
from probes.path.tracing import Tracing
from tests.lab.labs import as_root

pytestmark = as_root
PORT = 33434
LATE_S = 0.005
ROUTERS = [f"10.78.0.{number}" for number in range(1, 5)]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with Lab(settings.load(shipped("labs/routers.toml"), LabFile), data_dir=tmp_path, seed=1) as running:
        yield running


def tracer(lab: Lab) -> tuple[str, ...]:
    return tuple(lab.command("a", TRACER))


async def trace(lab: Lab, method: PathMethod = "icmp", *, flows: int = 4, version: int = 4) -> Traced:
    host = lab.addresses["b"] if version == 4 else lab.addresses6["b"]
    return await run(TraceRequest(host=host, method=method, port=PORT, flows=flows), command=tracer(lab))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("method", ["udp", "icmp", "tcp"])
async def test_path_through_routers(lab: Lab, method: PathMethod, version: int) -> None:
    # The destination's kernel answers six UDP probes at once, and any number of the others.
    flows = 4 if method == "udp" else 8
    traced = await trace(lab, method, flows=flows, version=version)
    r1, r2, r3, r4 = (f"10.78.0.{n}" if version == 4 else f"fd78::{n}" for n in range(1, 5))
    found = steps(traced.samples)
    addresses = [{responder.address for responder in step.responders} for step in found]
    assert addresses[1] <= {r2, r3}
    # One chance in 128 that all of eight flows take the same branch.
    assert len(addresses[1]) == 2 or flows == 4
    assert [addresses[0], *addresses[2:]] == [{r1}, {r4}, {traced.address}]
    # A flow stays on its branch: the first one was there three times.
    assert sorted(flow for responder in found[1].responders for flow in responder.flows) == [*range(flows)]
    assert reached(traced.samples)
    first, _, third, last = hops(found)
    assert first.labels == (16005, 24001)
    assert third.labels is None
    # The link's 20 ms each way, divided evenly among four parts.
    for hop, expected_s in ((first, 0.010), (third, 0.030), (last, 0.040)):
        assert hop.rtt_s is not None
        assert expected_s <= hop.rtt_s < expected_s + LATE_S
    assert traced.path_mtu_bytes == 1480


async def test_path_longer_than_the_limit_is_said_to_be_and_not_that_the_host_is_silent(lab: Lab) -> None:
    request = TraceRequest(host=lab.addresses["b"], method="icmp", port=PORT, max_hops=2)
    traced = await run(request, command=tracer(lab))
    assert len(steps(traced.samples)) == 2
    said = text(TracedPath(request, datetime.now(UTC), traced.samples, traced.address))
    assert "The host is not reached within 2 hops: raise --max-hops." in said


async def test_silent_router_is_a_gap_and_no_change(lab: Lab) -> None:
    await lab.change("a", "b", via=["r1", "r5", "r4"])
    found = hops(steps((await trace(lab)).samples))
    assert [hop.address for hop in found] == ["10.78.0.1", None, "10.78.0.4", lab.addresses["b"]]
    assert [hop.loss_ratio for hop in found] == [0.0, 1.0, 0.0, 0.0]


async def test_black_hole_has_its_mtu_found_by_silence(tmp_path: Path) -> None:
    lossy = settings.parse(
        "[sites.a]\n[sites.b]\n[routers.r1]\nmtu_bytes = 1400\nsilent = true\n"
        "[[links]]\nsrc = 'a'\ndst = 'b'\ndelay_s = 0.001\nvia = ['r1']\nboth = true\n",
        LabFile,
        "lab.toml",
    )
    async with Lab(lossy, data_dir=tmp_path, seed=1) as hole:
        assert (await trace(hole, flows=1)).path_mtu_bytes == 1400


async def test_cut_link_has_no_reply(lab: Lab) -> None:
    await lab.change("a", "b", cut=True)
    traced = await trace(lab)
    assert steps(traced.samples) == ()
    assert traced.path_mtu_bytes is None


async def test_traces_that_follow_each_other_all_reach_the_destination(lab: Lab) -> None:
    # Linux answers one address six times at once, and then once a second: less than one trace by UDP asks for.
    for _ in range(4):
        assert reached((await trace(lab, "udp")).samples)


async def test_shared_load_and_a_tired_destination_are_no_change(lab: Lab) -> None:
    rows: list[PathRow] = []
    heard = asyncio.Event()

    def report(found: Sequence[PathRow]) -> None:
        rows.extend(found)
        heard.set()

    async def inside(request: TraceRequest) -> Traced:
        return await run(request, command=tracer(lab))

    mesh = mesh_of(settings.load(shipped("labs/routers.toml"), LabFile), lab.addresses)
    mesh = mesh.model_copy(update={"path": mesh.path.model_copy(update={"every_s": 0.1, "flows": 2})})
    for _ in range(2):  # as often as the probe is started
        memory = RouteStore()
        tracing = Tracing("a", report, memory=memory, bind=(), rng=random.Random(1), trace=inside)
        tracing.apply_mesh(mesh)
        running, seen = asyncio.create_task(tracing.run()), len(rows)
        await until(lambda seen=seen: len(rows) >= seen + 4, heard)  # type: ignore[misc]
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        memory.close()
    assert [(row.failure, row.changed) for row in rows] == [(None, False)] * len(rows)
    # A reply that an ICMP limit holds back leaves a gap, and no stranger.
    assert {hop.address for row in rows for hop in row.hops} - {None} <= {*ROUTERS, lab.addresses["b"]}


async def until(condition: Callable[[], bool], changed: asyncio.Event) -> None:
    async with asyncio.timeout(90):
        while not condition():
            changed.clear()
            await changed.wait()


async def test_changed_way_is_one_event_with_before_and_after(lab: Lab) -> None:
    rows: list[PathRow] = []
    heard = asyncio.Event()

    def report(found: Sequence[PathRow]) -> None:
        rows.extend(found)
        heard.set()

    # Traces follow each other faster than Linux answers one address: six at once, then one a second (icmp(7)).
    unlimited = "open('/proc/sys/net/ipv4/icmp_ratelimit', 'w').write('0')"
    subprocess.run(lab.command("b", [sys.executable, "-c", unlimited]), check=True)  # noqa: ASYNC221
    # The way changes between two traces: one that it changes under sees some of either.
    between = asyncio.Lock()

    async def inside(request: TraceRequest) -> Traced:
        async with between:
            return await run(request, command=tracer(lab))

    file = settings.load(shipped("labs/routers.toml"), LabFile)
    mesh = mesh_of(file, lab.addresses)
    mesh = mesh.model_copy(update={"path": mesh.path.model_copy(update={"every_s": 0.5})})
    memory = RouteStore()
    tracing = Tracing("a", report, memory=memory, bind=(), rng=random.Random(1), trace=inside)
    # One branch: of two, the event would name both.
    await lab.change("a", "b", via=["r1", "r2", "r4"])
    tracing.apply_mesh(mesh)
    running = asyncio.create_task(tracing.run())
    await until(lambda: len(rows) >= 2, heard)
    async with between:
        await lab.change("a", "b", via=["r1", "r4"])
    await until(lambda: any(row.changed for row in rows), heard)
    seen = len(rows)
    await until(lambda: len(rows) > seen, heard)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    memory.close()
    event = next(row for row in rows if row.changed)
    assert event.before is not None
    assert [hop.address for hop in event.before][0::2] == ["10.78.0.1", "10.78.0.4"]
    assert [hop.address for hop in event.hops] == ["10.78.0.1", "10.78.0.4", lab.addresses["b"]]
    assert sum(row.changed for row in rows) == 1
    assert len({row.fingerprint for row in rows}) == 2
    assert (event.src, event.dst, event.method, event.reached, event.path_mtu_bytes) == ("a", "b", "udp", True, 1480)
