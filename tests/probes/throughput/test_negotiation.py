from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from linkweather.broker import parse_broker
from linkweather.containment import overflows
from linkweather.errors import operator_error
from linkweather.mesh import Mesh, Site, ThroughputTests
from linkweather.mqtt import Connection
from linkweather.wire import Answer, Claim, Invite, ThroughputRow, decode, topics
from probes.throughput import iperf3_ends, time_limits
from probes.throughput import iperf3_program as program
from probes.throughput.credentials import KeyPair, key_pair
from probes.throughput.invitation import Declined
from probes.throughput.iperf3_ends import SiteIperf3
from probes.throughput.iperf3_output import Build
from probes.throughput.iperf3_server import ServerPlace, serve_once
from probes.throughput.leases import SiteLease
from probes.throughput.negotiation import Negotiator
from probes.throughput.time_limits import Limit
from tests import servers
from tests.probes.throughput import programs
from tests.waiting import until

TESTS = ThroughputTests(max_duration_s=1.0, until_converged=False)
DEFAULT_CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
BUILD = Build((3, 12), authentication=True)
ADDRESS = {"a": "127.0.0.5", "b": "127.0.0.6", "c": "127.0.0.7", "d": "127.0.0.8"}
MESH = Mesh(sites={name: Site(address=address) for name, address in ADDRESS.items()}, throughput=TESTS)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    servers.require("iperf3")
    yield
    assert programs.children() == []


@dataclass
class Wire:
    """The negotiators of all sites, and what passed between them. Messages on `lost` topics vanish."""

    sites: dict[str, Negotiator] = field(default_factory=dict)
    leases: dict[str, SiteLease] = field(default_factory=dict)
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    tests: list[tuple[str, str, str]] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    away: bool = False

    async def publish(self, topic: str, payload: bytes) -> bool:
        if self.away:
            return False
        self.sent.append((topic, payload))
        parsed = topics.parse(topic)
        assert parsed
        to = list(self.sites) if parsed.name == "claim" else [parsed.site]
        for name in to if parsed.name not in self.lost else ():
            if name in self.sites:
                deliver(self.sites[name], topic, payload)
        return True

    def answers(self) -> list[Answer]:
        return [decode(Answer, payload) for topic, payload in self.sent if "/answer/" in topic]


def deliver(to: Negotiator, topic: str, payload: bytes) -> None:
    parsed = topics.parse(topic)
    assert parsed
    if parsed.name == "claim":
        to.handle_claim(parsed.site, decode(Claim, payload))
    elif parsed.name == "invite":
        to.handle_invite(parsed.detail, decode(Invite, payload))
    else:
        to.handle_answer(parsed.detail, decode(Answer, payload))


@contextlib.asynccontextmanager
async def serving(*sites: Negotiator) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(site.run(), name="serve") for site in sites]
        try:
            # Until then a site declines.
            await until(lambda: all(map(has_keys, sites)))
            yield
        finally:
            for task in running:
                task.cancel()


def has_keys(site: Negotiator) -> bool:
    return site._iperf3 is None or site._iperf3.ready


def iperf3_of(name: str, folder: Path, build: Build = BUILD) -> SiteIperf3:
    place = ServerPlace(ADDRESS[name], [servers.free_port()])
    return SiteIperf3(place, folder / name, build, lambda: secrets.token_urlsafe(24))


def site(wire: Wire, name: str, folder: Path, build: Build | None = BUILD) -> Negotiator:
    wire.leases[name] = SiteLease()
    made = Negotiator(
        name,
        publish=wire.publish,
        lease=wire.leases[name],
        iperf3=iperf3_of(name, folder, build) if build else None,
        on_start=lambda peer: wire.tests.append((name, "start", peer)),
        on_end=lambda peer: wire.tests.append((name, "end", peer)),
        afford=affordable,
        working_latency=lambda _peer, _last_s: None,
        token=secrets.token_hex,
    )
    made.apply_mesh(MESH)
    wire.sites[name] = made
    return made


async def affordable(_peer: str, _max_bytes: int | None) -> bool:
    return True


def holder(wire: Wire, name: str) -> str | None:
    return wire.leases[name].holder(asyncio.get_running_loop().time())


async def until_free(wire: Wire, name: str) -> None:
    await until(lambda: holder(wire, name) is None)


def failure(found: ThroughputRow | Declined) -> str | None:
    assert isinstance(found, ThroughputRow)
    return found.failure


async def test_two_sites_test_their_link_over_a_real_broker(tmp_path: Path, broker_port: int) -> None:
    wire = Wire()
    build = await program.installed()
    broker = parse_broker(f"mqtt://127.0.0.1:{broker_port}")
    async with asyncio.TaskGroup() as group:
        ready, tasks = [], []
        for name in "ab":
            made = site(wire, name, tmp_path, build)
            connected = asyncio.Event()
            connection = Connection(
                broker,
                name,
                subscriptions=[topics.invite(name, "+"), topics.answer(name, "+")],
                handle=functools.partial(deliver, made),
                on_connect=connected.set,
            )
            made._signalling._publish = connection.publish
            tasks += [group.create_task(connection.run(), name="mqtt"), group.create_task(made.run(), name="serve")]
            ready.append(connected)
        for connected in ready:
            await connected.wait()
        # The keys are there before an invitation is answered in time.
        await until(lambda: has_keys(wire.sites["a"]))
        row = await wire.sites["b"].measure("a", ADDRESS["a"], TESTS)
        await until_free(wire, "a")
        for task in tasks:
            task.cancel()
    assert isinstance(row, ThroughputRow)
    assert (row.src, row.dst, row.method, row.failure, row.detail) == ("a", "b", "iperf3", None, None)
    assert row.goodput_bps is not None
    assert row.bytes is not None
    assert row.stopped_by == "time"
    assert row.goodput_10s_bps is not None
    assert row.congestion == DEFAULT_CONGESTION  # only the source could tell
    assert sorted(wire.tests) == [("a", "end", "b"), ("a", "start", "b"), ("b", "end", "a"), ("b", "start", "a")]
    # Only the keys stay: no user list, no secret.
    names = sorted(path.name for path in programs.files(tmp_path / "a"))
    assert names == ["iperf3-keys.sha256", "iperf3-private.pem", "iperf3-public.pem"]


async def test_both_sites_hold_their_lease_for_the_test_and_no_longer(tmp_path: Path) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    c = site(wire, "c", tmp_path)
    async with serving(a, b, c):
        async with asyncio.TaskGroup() as group:
            test = group.create_task(b.measure("a", ADDRESS["a"], TESTS), name="a→b")
            await until(wire.answers)
            assert (holder(wire, "a"), holder(wire, "b")) == ("b", "a")
            busy_there = await c.measure("a", ADDRESS["a"], TESTS)
            busy_here = await b.measure("c", ADDRESS["c"], TESTS)
        assert holder(wire, "b") is None
        await until_free(wire, "a")
    assert failure(test.result()) is None
    for postponed in (busy_there, busy_here):
        assert isinstance(postponed, Declined)
        assert postponed.reason == "leased"
        assert 0 < postponed.retry_after_s < 10


async def test_without_authentication_at_either_end_a_test_has_no_secret(tmp_path: Path) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path, Build((3, 12), authentication=False))
    async with serving(a, b):
        assert failure(await b.measure("a", ADDRESS["a"], TESTS)) is None
    assert wire.answers()[0].secret is None
    assert wire.answers()[0].public_key_pem is None


async def test_an_invitation_that_nobody_answers_is_a_failure_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(time_limits.LIMITS, "answer", Limit(0.1, 0))
    wire = Wire()
    b = site(wire, "b", tmp_path)
    assert failure(await b.measure("a", ADDRESS["a"], TESTS)) == "no_answer"
    assert holder(wire, "b") is None
    assert b._signalling._pending == {}


async def test_what_only_the_other_end_can_see_is_told_after_the_test_and_asked_of_our_own_probes(
    tmp_path: Path,
) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    asked: list[tuple[str, float]] = []

    def working_latency(peer: str, last_s: float) -> float:
        asked.append((peer, last_s))
        return 0.031

    b._working_latency = working_latency
    async with serving(a, b):
        # Not a whole second: we interrupt iperf3, and it does not print the count.
        row = await b.measure("a", ADDRESS["a"], TESTS.model_copy(update={"max_duration_s": 0.7}))
    assert isinstance(row, ThroughputRow)
    served = wire.answers()[1].served
    assert served is not None
    assert served.retransmits is not None
    assert row.retransmits == served.retransmits
    assert row.congestion == DEFAULT_CONGESTION
    assert row.rtt_loaded_s == 0.031
    ((peer, last_s),) = asked
    assert peer == "a"
    assert 0 < last_s <= 0.8


async def test_a_source_that_does_not_tell_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(time_limits.LIMITS, "served", Limit(0.05, 0))
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    told = b.handle_answer
    monkeypatch.setattr(b, "handle_answer", lambda by, answer: None if answer.served else told(by, answer))
    async with serving(a, b):
        row = await b.measure("a", ADDRESS["a"], TESTS)
    assert isinstance(row, ThroughputRow)
    assert (row.failure, row.congestion) == (None, None)


async def test_a_limit_in_bytes_is_kept_to_the_block(tmp_path: Path) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    patient = ThroughputTests(max_duration_s=30.0, slot_s=60.0, until_converged=False)
    a.apply_mesh(Mesh(sites=MESH.sites, throughput=patient))
    async with serving(a, b):
        row = await b.measure("a", ADDRESS["a"], patient, max_bytes=400_000_000)
    assert isinstance(row, ThroughputRow)
    assert (row.failure, row.stopped_by) == (None, "bytes")
    assert row.bytes == 3051 * 131_072  # the most blocks that fit


async def test_a_member_that_invites_without_end_draws_one_test_a_minute_and_cannot_keep_the_site_busy(
    tmp_path: Path,
) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    async with serving(a, b):
        assert failure(await b.measure("a", ADDRESS["a"], TESTS)) is None
        await until(lambda: wire.answers()[-1].served)
        for number in range(20):
            a.handle_invite("b", Invite(id=str(number), duration_s=1.0, iperf3="3.12"))
        await until(lambda: len(wire.answers()) == 22)
        declined = wire.answers()[2:]
        assert {(answer.accepted, answer.reason) for answer in declined} == {(False, "too_soon")}
        assert all(30 < (answer.retry_after_s or 0.0) <= 54 for answer in declined)
        found = await b.measure("a", ADDRESS["a"], TESTS)
        assert isinstance(found, Declined)
        assert found.reason == "too_soon"
        # The other sites are served.
        c = site(wire, "c", tmp_path)
        assert failure(await c.measure("a", ADDRESS["a"], TESTS)) is None


async def test_a_broker_that_is_away_postpones_the_test(tmp_path: Path) -> None:
    wire = Wire(away=True)
    b = site(wire, "b", tmp_path)
    assert await b.measure("a", ADDRESS["a"], TESTS) == Declined("no_broker", 5.0)


async def test_a_peer_that_cannot_is_a_published_failure(tmp_path: Path) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path, build=None), site(wire, "b", tmp_path)
    async with serving(a, b):
        assert failure(await b.measure("a", ADDRESS["a"], TESTS)) == "missing"
        assert failure(await a.measure("b", ADDRESS["b"], TESTS)) == "missing"


async def test_a_stranger_is_refused_and_no_server_starts(tmp_path: Path) -> None:
    wire = Wire()
    a = site(wire, "a", tmp_path)
    async with serving(a):
        a.handle_invite("z", Invite(id="1", duration_s=1.0, iperf3="3.12"))
        await until(wire.answers)
    assert (wire.answers()[0].accepted, wire.answers()[0].reason) == (False, "unknown_site")
    assert wire.tests == []


async def test_a_repeated_invitation_gets_no_second_answer(tmp_path: Path) -> None:
    wire = Wire()
    a = site(wire, "a", tmp_path)
    async with serving(a):
        for number in ("1", "1", "2"):
            a.handle_invite("z", Invite(id=number, duration_s=1.0, iperf3="3.12"))
        await until(lambda: len(wire.answers()) >= 2)
    assert [answer.id for answer in wire.answers()] == ["1", "2"]


async def test_an_invitation_too_many_is_ignored_and_counted(tmp_path: Path) -> None:
    a = site(Wire(), "a", tmp_path)
    before = overflows().get("invitations", 0)
    for number in range(65):
        a.handle_invite("b", Invite(id=str(number), duration_s=1.0, iperf3="3.12"))
    assert overflows()["invitations"] == before + 1


async def test_only_the_invited_site_can_answer_and_only_once(tmp_path: Path) -> None:
    wire = Wire(lost={"invite"})
    b = site(wire, "b", tmp_path)
    async with asyncio.TaskGroup() as group:
        test = group.create_task(b.measure("a", ADDRESS["a"], TESTS), name="a→b")
        await until(lambda: wire.sent)
        invite = decode(Invite, wire.sent[0][1])
        b.handle_answer("c", Answer(id=invite.id, accepted=False, reason="missing"))
        b.handle_answer("a", Answer(id="another", accepted=False, reason="missing"))
        b.handle_answer("a", Answer(id=invite.id, accepted=True))
        b.handle_answer("a", Answer(id=invite.id, accepted=False, reason="missing"))
    assert failure(test.result()) == "no_connection"  # accepted without a port: it was to call, and did not


async def test_when_every_port_is_taken_the_peer_shall_come_again(tmp_path: Path) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    assert a._iperf3
    taken = a._iperf3.place.ports
    async with serving(a), serve_once(ServerPlace(ADDRESS["a"], taken), BUILD, guard=None, seconds=10):
        assert await b.measure("a", ADDRESS["a"], TESTS) == Declined("ports_taken", 5.0)
        await until_free(wire, "a")


async def test_a_program_that_vanished_is_a_failure_at_either_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    async with serving(a):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert failure(await b.measure("a", ADDRESS["a"], TESTS)) == "cannot_serve"
    wire.lost.add("invite")
    async with asyncio.TaskGroup() as group:
        test = group.create_task(b.measure("a", ADDRESS["a"], TESTS), name="a→b")
        await until(lambda: "/invite/" in wire.sent[-1][0])
        invite = decode(Invite, wire.sent[-1][1])
        b.handle_answer("a", Answer(id=invite.id, accepted=True, port=5201))
    assert failure(test.result()) == "missing"


async def test_an_answer_that_cannot_be_sent_ends_the_server_and_the_lease(tmp_path: Path) -> None:
    wire = Wire(away=True)
    a = site(wire, "a", tmp_path)
    async with serving(a):
        a.handle_invite("b", Invite(id="1", duration_s=1.0, iperf3="3.12"))
        await until(lambda: ("a", "end", "b") in wire.tests)
        assert holder(wire, "a") is None


async def test_a_cancelled_test_leaves_no_process_and_no_lease_at_either_end(tmp_path: Path) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    async with serving(a):
        test = asyncio.create_task(b.measure("a", ADDRESS["a"], TESTS), name="a→b")
        await until(wire.answers)
        test.cancel()
        with pytest.raises(asyncio.CancelledError):
            await test
        assert holder(wire, "b") is None
        await until_free(wire, "a")
        assert programs.children() == []


async def test_a_site_that_shuts_down_in_a_test_takes_its_server_with_it(tmp_path: Path) -> None:
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    async with asyncio.TaskGroup() as group:
        serve = group.create_task(a.run(), name="serve")
        await until(lambda: has_keys(a))
        test = group.create_task(b.measure("a", ADDRESS["a"], TESTS), name="a→b")
        await until(wire.answers)
        serve.cancel()
    assert failure(test.result()) in {"died", "refused"}
    assert holder(wire, "a") is None


async def test_a_site_that_still_makes_its_keys_says_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = asyncio.Event()

    async def in_time(folder: Path) -> KeyPair:
        await made.wait()
        return await key_pair(folder)

    monkeypatch.setattr(iperf3_ends, "key_pair", in_time)
    wire = Wire()
    a, b = site(wire, "a", tmp_path), site(wire, "b", tmp_path)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(a.run(), name="serve")
        found = await b.measure("a", ADDRESS["a"], TESTS)
        assert found == Declined("starting", 5.0)
        assert holder(wire, "a") is None
        made.set()
        await until(lambda: has_keys(a))
        assert failure(await b.measure("a", ADDRESS["a"], TESTS)) is None
        running.cancel()


async def test_a_folder_that_cannot_keep_keys_stops_the_daemon_at_its_start(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(ExceptionGroup) as raised:
        await site(Wire(), "a", tmp_path).run()
    assert "cannot keep iperf3's keys" in str(operator_error(raised.value))
