from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from linkweather.broker import parse_broker
from linkweather.containment import overflows
from linkweather.mesh import Link, Mesh, Site, ThroughputTests
from linkweather.mqtt import Connection
from linkweather.wire import Claim, Invite, decode, encode, topics
from probes.throughput import time_limits
from probes.throughput.group_lease import GroupLease
from probes.throughput.invitation import Declined
from probes.throughput.time_limits import Limit
from tests import servers
from tests.linkweather.test_config import CONFIG
from tests.probes.throughput import programs
from tests.probes.throughput.test_negotiation import ADDRESS, TESTS, Wire, failure, serving, site
from tests.waiting import until

MESH_TESTS = ThroughputTests(max_duration_s=0.5)
HOLD_S = 1.6
QUIET_S = 0.5 + HOLD_S


def mesh_of(group_of: dict[str, str | None], tests: ThroughputTests = MESH_TESTS) -> Mesh:
    sites = {name: Site(address=f"192.0.2.{ord(name[-1])}", shares=group) for name, group in group_of.items()}
    return Mesh(sites=sites, throughput=tests)


GROUPED = mesh_of({"a": "uplink", "b": "uplink", "c": None, "d": "other"})


@dataclass
class Air:
    """What every site hears, in one order."""

    sites: dict[str, GroupLease] = field(default_factory=dict)
    said: list[tuple[str, Claim]] = field(default_factory=list)
    silent: bool = False
    away: bool = False

    def lease(self, name: str, mesh: Mesh = GROUPED) -> GroupLease:
        self.sites[name] = GroupLease(name, self.publish, hold_s=lambda _: HOLD_S)
        self.sites[name].apply_mesh(mesh)
        self.sites[name]._deaf_until = None
        return self.sites[name]

    async def publish(self, topic: str, payload: bytes) -> bool:
        if self.away:
            return False
        parsed = topics.parse(topic)
        assert parsed
        self.said.append((parsed.site, decode(Claim, payload)))
        for each in () if self.silent else self.sites.values():
            each.handle(*self.said[-1])
        return True


async def test_sites_without_a_group_claim_nothing() -> None:
    air = Air()
    c = air.lease("c")
    async with c.held("e", "1", 0.5) as declined:
        assert declined is None
    assert air.said == []
    assert c.covers("e", "1")


async def test_the_groups_of_both_ends_are_claimed_for_the_length_of_the_test_and_given_back() -> None:
    air = Air()
    a = air.lease("a")
    async with a.held("d", "1", 0.5) as declined:
        assert declined is None
        ((by, claim),) = air.said
        assert (by, claim.id, set(claim.groups), claim.for_s) == ("a", "1", {"uplink", "other"}, QUIET_S)
    assert air.said[1:] == [("a", Claim(id="1", for_s=0.0))]


async def test_the_second_claim_on_a_group_is_declined_and_given_back_and_other_groups_do_not_mind() -> None:
    air = Air()
    a, b, d = air.lease("a"), air.lease("b"), air.lease("d")
    async with a.held("c", "1", 0.5):
        async with b.held("c", "2", 0.5) as declined:
            assert isinstance(declined, Declined)
            assert declined.reason == "leased"
            assert 0 < declined.retry_after_s <= QUIET_S
        async with d.held("c", "3", 0.5) as declined:
            assert declined is None
    async with b.held("c", "4", 0.5) as declined:
        assert declined is None


async def test_a_site_that_dies_in_a_test_costs_its_group_the_time_of_its_claim() -> None:
    air = Air()
    a, b = air.lease("a"), air.lease("b")
    a.handle("c", Claim(id="0", groups=("uplink",), for_s=0.2))
    b.handle("c", Claim(id="0", groups=("uplink",), for_s=0.2))
    async with b.held("d", "1", 0.5) as declined:
        assert isinstance(declined, Declined)
    await asyncio.sleep(declined.retry_after_s)
    async with b.held("d", "2", 0.5) as declined:
        assert declined is None


async def test_who_has_just_heard_of_groups_or_connected_again_claims_nothing_yet() -> None:
    air = Air()
    b = air.lease("b")
    for begin in (b.on_connect, lambda: b.apply_mesh(mesh_of({"a": "uplink", "b": "uplink"}))):
        begin()
        async with b.held("c", "1", 0.5) as declined:
            assert isinstance(declined, Declined)
            assert QUIET_S - 1 < declined.retry_after_s <= QUIET_S
        assert air.said == []
        b._deaf_until = None
    b.apply_mesh(mesh_of({"a": "uplink", "b": "uplink"}))  # the same groups
    async with b.held("c", "1", 0.5) as declined:
        assert declined is None


async def test_a_test_that_may_last_longer_under_the_old_mesh_is_waited_for() -> None:
    b = Air().lease("b", mesh_of({"b": None}, ThroughputTests(max_duration_s=4.0)))
    b.apply_mesh(GROUPED)
    async with b.held("c", "1", 0.5) as declined:
        assert isinstance(declined, Declined)
        assert declined.retry_after_s > 4.0


async def test_a_claim_that_is_not_heard_back_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(time_limits.LIMITS, "heard", Limit(0.05, 0))
    air = Air(silent=True)
    async with air.lease("a").held("c", "1", 0.5) as declined:
        assert declined == Declined("no_broker", 5.0)
    assert "allow every site to read linkweather/v1/site/+/claim" in caplog.text
    air.away = True
    async with air.sites["a"].held("c", "2", 0.5) as declined:
        assert declined == Declined("no_broker", 5.0)


async def test_a_cancelled_test_gives_its_groups_back() -> None:
    air = Air()
    a = air.lease("a")

    async def hold() -> None:
        async with a.held("c", "1", 0.5):
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        holding = group.create_task(hold(), name="hold")
        await until(lambda: air.said)
        holding.cancel()
    assert air.said[-1] == ("a", Claim(id="1", for_s=0.0))


@contextlib.asynccontextmanager
async def connected(names: str, port: int, mesh: Mesh) -> AsyncIterator[dict[str, GroupLease]]:
    """Sites that hear each other through a broker that lets each one speak for itself only."""
    leases: dict[str, GroupLease] = {}
    ready = []

    def hear(name: str, topic: str, payload: bytes) -> None:
        parsed = topics.parse(topic)
        assert parsed
        leases[name].handle(parsed.site, decode(Claim, payload))

    async with asyncio.TaskGroup() as group:
        tasks = []
        for name in names:
            up = asyncio.Event()
            connection = Connection(
                replace(parse_broker(f"mqtt://{name}@127.0.0.1:{port}"), password="x"),
                name,
                subscriptions=[topics.ALL_CLAIMS],
                handle=functools.partial(hear, name),
                on_connect=up.set,
            )
            leases[name] = GroupLease(name, connection.publish, hold_s=lambda _: HOLD_S)
            leases[name].apply_mesh(mesh)
            tasks.append(group.create_task(connection.run(), name=name))
            ready.append(up)
        for up in ready:
            await up.wait()
        try:
            yield leases
        finally:
            for task in tasks:
                task.cancel()


async def test_of_many_sites_that_claim_at_once_one_has_the_group_at_any_time(tmp_path: Path) -> None:
    names = "abcdefgh"
    passwords = tmp_path / "passwords"
    passwords.write_text("".join(f"{name}:x\n" for name in names))
    process = await asyncio.create_subprocess_exec(servers.require("mosquitto_passwd"), "-U", str(passwords))
    await process.wait()
    extra = f"password_file {passwords}\nacl_file {CONFIG / 'mosquitto.acl'}\nuser root\n"
    mesh = mesh_of({name: "uplink" if name in "abcdef" else None for name in names})
    inside: list[str] = []
    got: Counter[str] = Counter()
    declined_claims = 0
    rng = random.Random(1)

    async def contend(name: str, lease: GroupLease) -> None:
        nonlocal declined_claims
        number = 0
        while got.total() < 25:
            number += 1
            # g and h are in no group: they test with members.
            peer = "a" if name in "gh" else "h"
            async with lease.held(peer, f"{name}{number}", 0.5) as declined:
                if declined is not None:
                    declined_claims += 1
                else:
                    inside.append(name)
                    await asyncio.sleep(0.002)
                    assert inside == [name]
                    inside.remove(name)
                    got[name] += 1
            await asyncio.sleep(rng.uniform(0.0, 0.06))

    with servers.mosquitto(tmp_path, extra=extra) as port:
        async with connected(names, port, mesh) as leases:
            for lease in leases.values():
                lease._deaf_until = None
            async with asyncio.timeout(240), asyncio.TaskGroup() as group:
                for name, lease in leases.items():
                    group.create_task(contend(name, lease), name=name)
    assert len(got) > 1
    assert declined_claims > 0


async def test_a_stranger_blocks_no_group_and_a_member_not_for_ever(tmp_path: Path) -> None:
    # Only c tests a link at the group, from a. d is a member of the mesh, x is at the broker alone.
    mesh = GROUPED.model_copy(update={"links": (Link(src="a", dst="c"), Link(src="c", dst="d"))})
    passwords = tmp_path / "passwords"
    passwords.write_text("".join(f"{name}:x\n" for name in "acdx"))
    process = await asyncio.create_subprocess_exec(servers.require("mosquitto_passwd"), "-U", str(passwords))
    await process.wait()
    extra = f"password_file {passwords}\nacl_file {CONFIG / 'mosquitto.acl'}\nuser root\n"
    refused = overflows().get("claims_refused", 0)
    with servers.mosquitto(tmp_path, extra=extra) as port:
        async with connected("acdx", port, mesh) as leases:
            for lease in leases.values():
                lease._deaf_until = None
            blocking = Claim(id="block", groups=("uplink",), for_s=1e9)
            for name in "dx":
                await leases[name]._publish(topics.claim(name), encode(blocking))
            await until(lambda: overflows().get("claims_refused", 0) >= refused + 8)  # by all four
            async with leases["c"].held("a", "1", 0.5) as declined:
                assert declined is None
            # c may claim: for a test's length, however long it says, and not again at once.
            await until(lambda: leases["c"]._claims.pause_s(now(), "c") == 0.0)
            await leases["c"]._publish(topics.claim("c"), encode(blocking))
            await until(lambda: leases["a"]._claims.remaining_s(now(), frozenset({"uplink"}), but="") > 0)
            assert leases["a"]._claims.remaining_s(now(), frozenset({"uplink"}), but="") <= QUIET_S
            async with leases["c"].held("a", "2", 0.5) as declined:
                assert isinstance(declined, Declined)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_two_tests_in_one_group_do_not_overlap_and_the_second_comes_again(tmp_path: Path) -> None:
    servers.require("iperf3")
    wire = Wire()
    made = {name: site(wire, name, tmp_path) for name in "abcd"}
    shared = {
        name: Site(address=address, shares="uplink" if name in "ac" else None) for name, address in ADDRESS.items()
    }
    mesh = Mesh(sites=shared, throughput=TESTS)
    for each in made.values():
        each.apply_mesh(mesh)
        each._groups._deaf_until = None
    async with serving(*made.values()):
        async with asyncio.TaskGroup() as group:
            test = group.create_task(made["b"].measure("a", ADDRESS["a"], TESTS), name="a→b")
            await until(lambda: ("a", "start", "b") in wire.tests)
            # Both of these are free, but c is in the group of a.
            declined = await made["d"].measure("c", ADDRESS["c"], TESTS)
        assert isinstance(declined, Declined)
        assert declined.reason == "leased"
        assert failure(test.result()) is None
        assert failure(await made["d"].measure("c", ADDRESS["c"], TESTS)) is None
    assert programs.children() == []


async def test_a_source_with_a_newer_mesh_declines_a_test_that_did_not_claim_its_group(tmp_path: Path) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    shared = {name: Site(address=address, shares="uplink") for name, address in ADDRESS.items()}
    a.apply_mesh(Mesh(sites=shared, throughput=TESTS))
    async with serving(a):
        found = await b.measure("a", ADDRESS["a"], TESTS)
    assert isinstance(found, Declined)
    assert found.reason == "leased"
    assert wire.tests == [("b", "start", "a"), ("b", "end", "a")]


async def test_an_invitation_that_came_without_its_claim_is_declined(tmp_path: Path) -> None:
    wire = Wire()
    a = site(wire, "a", tmp_path)
    shared = {name: Site(address=address, shares="uplink") for name, address in ADDRESS.items()}
    a.apply_mesh(Mesh(sites=shared, throughput=TESTS))
    a.handle_claim("c", Claim(id="other", groups=("uplink",), for_s=3.0))
    async with serving(a):
        a.handle_invite("b", Invite(id="1", duration_s=1.0, iperf3="3.12"))
        await until(wire.answers)
    (answer,) = wire.answers()
    assert (answer.accepted, answer.reason) == (False, "leased")
    assert answer.retry_after_s is not None
    assert 0 < answer.retry_after_s <= 3.0
