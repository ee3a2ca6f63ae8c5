"""Who is there: goodbyes before a planned restart, keys that differ, and two probes of one id."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from linkweather.broker import BrokerSettings
from linkweather.wire import LatencyRow, Presence, topics
from probes import presence
from probes.daemon import ProbeDaemon
from probes.presence import RESTART_LIMIT_S, STEP_BACK_S, SitePresence
from probes.settings import ProbeSettings
from tests.probes.test_daemon import Collector, addresses, collecting, probing
from tests.waiting import until

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Peers:
    """Notes what it is asked to do."""

    asked: list[tuple[object, ...]] = field(default_factory=list)

    def note_key(self, site: str, key_id: str | None) -> None:
        self.asked.append(("key", site, key_id))

    def hold(self, site: str, limit_s: float) -> None:
        self.asked.append(("hold", site, limit_s))

    def resume(self, site: str) -> None:
        self.asked.append(("resume", site))


class World:
    """One site's presence, and what it did."""

    def __init__(self, *, heard: bool = True) -> None:
        self.peers = Peers()
        self.published: list[tuple[str, bool]] = []
        self.paused: list[float] = []
        self.heard = heard
        self.presence = SitePresence(
            "a",
            "ours",
            "1a2b3c4d",
            publish=self.publish,
            neighbours=self.peers,
            step_back=self.paused.append,
            now=NOON,
        )

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        assert topic == (topics.presence("a") if retain else topics.restart("a"))
        self.published.append((Presence.model_validate_json(payload).state, retain))
        return self.heard

    async def connected_twice(self) -> SitePresence:
        """As after a connection that another client took."""
        self.presence.on_connect()
        await self.presence.say_here(answering=True)
        self.presence.on_connect()
        return self.presence


def said(instance: str = "theirs", started: datetime = NOON, **more: object) -> Presence:
    values = {"state": "here", "instance": instance, "started": started, "host": "elsewhere"} | more
    return Presence.model_validate(values)


def test_a_peer_that_leaves_is_held_until_it_is_back() -> None:
    world = World()
    world.presence.handle_restart("b", said(state="leaving", key_id="5e6f7a8b"))
    world.presence.handle_restart("b", said())
    world.presence.handle_restart("a", said("ours", state="leaving"))  # our own comes back
    assert world.peers.asked == [
        ("key", "b", "5e6f7a8b"),
        ("hold", "b", RESTART_LIMIT_S),
        ("key", "b", None),
        ("resume", "b"),
    ]


async def test_a_start_is_said_to_the_peers_once_and_a_new_connection_to_the_own_name_alone() -> None:
    """After a broker's restart each site says one message to one reader."""
    world = World()
    assert await world.presence.say_here(answering=False)  # without a mesh, no peer is told to probe it
    assert world.published.pop() == ("here", True)
    for _ in range(3):
        world.presence.on_connect()
        assert await world.presence.say_here(answering=True)
        await world.presence.say_key()
    assert world.published == [("here", True), ("here", False), ("here", True), ("here", True)]


async def test_a_peer_that_starts_with_another_key_hears_ours_once() -> None:
    world = World()
    for instance in ("first", "first", "second", "second"):
        world.presence.handle_restart("b", said(instance, key_id="5e6f7a8b"))
        await world.presence.say_key()
    world.presence.handle_restart("c", said(key_id="1a2b3c4d"))
    await world.presence.say_key()
    assert world.published == [("here", False), ("here", False)]


async def test_what_the_broker_did_not_take_is_said_again() -> None:
    world = World(heard=False)
    assert not await world.presence.say_here(answering=True)
    world.presence.handle_restart("b", said(key_id="5e6f7a8b"))
    await world.presence.say_key()
    world.heard = True
    assert await world.presence.say_here(answering=True)
    await world.presence.say_key()
    await world.presence.say_key()
    assert world.published == [("here", True), ("here", False), ("here", False)] * 2


@pytest.mark.parametrize(
    ("started", "pauses", "then"),
    [
        (NOON - timedelta(hours=1), [STEP_BACK_S], "this one is newer and leaves the broker to it for 300 s"),
        (NOON + timedelta(hours=1), [], "it is newer"),
        (NOON, [], "it is newer"),  # of the same second: the name decides, at both ends alike
    ],
)
async def test_of_two_probes_of_one_id_the_newer_steps_back_and_both_name_the_other(
    started: datetime, pauses: list[float], then: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    one = await world.connected_twice()
    for _ in range(2):
        one.handle("a", said(started=started))
    assert set(world.paused) == set(pauses)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"another probe runs as site a, on elsewhere since {started:%Y-%m-%d %H:%M:%S} UTC: {then}; "
        "stop one of them, or give it a site id of its own"
    )


async def test_what_a_probe_left_that_is_gone_is_no_second_one(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.presence.on_connect()
    world.presence.handle("a", said())  # retained, of the run before this one
    await world.presence.say_here(answering=True)
    await world.connected_twice()
    world.presence.handle("a", said("ours"))
    world.presence.handle("a", said(state="leaving"))
    assert (world.paused, caplog.records) == ([], [])


async def test_what_the_broker_did_not_take_was_not_said() -> None:
    world = World(heard=False)
    one = await world.connected_twice()
    one.handle("a", said(started=NOON - timedelta(hours=1)))
    assert world.paused == []


async def test_a_goodbye_is_not_retained_and_without_a_broker_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "LINGER_S", 3600.0)
    world = World(heard=False)
    await world.presence.say_here(answering=True)
    async with asyncio.timeout(90):
        await world.presence.say_goodbye()
    assert world.published == [("here", True), ("here", False), ("leaving", False)]


async def test_after_a_goodbye_nothing_says_to_the_peers_that_the_site_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is made again meanwhile, or a peer's key, would end the hold before the site is gone."""
    monkeypatch.setattr(presence, "LINGER_S", 0.0)
    world = World()
    await world.presence.say_goodbye()
    world.presence.on_connect()
    await world.presence.say_here(answering=True)
    world.presence.handle_restart("b", said(key_id="5e6f7a8b"))
    await world.presence.say_key()
    assert world.published == [("leaving", False), ("here", True)]


def rows(collector: Collector, site: str, since: datetime = EPOCH) -> list[LatencyRow]:
    """Those of windows that ended after `since`: a report of an earlier one may come late, or again."""
    reports = [report for report in collector.reports[site] if report.at > since]
    return [row for report in reports for row in report.links if isinstance(row, LatencyRow)]


async def test_a_planned_restart_is_no_loss_and_its_peers_rows_say_so(
    broker_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 of 50 probes were lost on every link to it."""
    # On a busy machine a goodbye takes longer to the peers, and a reply to its sender.
    monkeypatch.setattr(presence, "GOODBYE_LIMIT_S", 20.0)
    monkeypatch.setattr(presence, "LINGER_S", 3.0)
    patient = {"report_interval_s": 0.5, "interval_s": 0.05, "timeout_s": 10.0}
    both = addresses(2)
    async with collecting(broker_port) as collector, AsyncExitStack() as stack:
        await stack.enter_async_context(probing("a", both[0], broker_port, tmp_path))
        await collector.mesh(*both, latency=patient)
        async with probing("b", both[1], broker_port, tmp_path):
            await collector.until(lambda: any(row.received == row.sent > 0 for row in rows(collector, "a")))
            await collector.until(lambda: any(row.received == row.sent > 0 for row in rows(collector, "b")))
            began = datetime.now(UTC)
            await collector.until(lambda: len(rows(collector, "a", began)) >= 2)
        await collector.until(lambda: rows(collector, "a", began)[-1].failure == "peer_restarting")
        async with probing("b", both[1], broker_port, tmp_path):
            back = len(rows(collector, "a", began))
            await collector.until(lambda: any(row.received for row in rows(collector, "a", began)[back:]))
            last = len(rows(collector, "a", began))
            await collector.until(lambda: len(rows(collector, "a", began)) > last)
            seen = rows(collector, "a", began)
    assert [(row.sent, row.received) for row in seen if row.sent != row.received] == []
    held = [row for row in seen if row.failure]
    assert {(row.failure, row.detail, row.sent) for row in held} == {
        ("peer_restarting", "not probed while the site restarts", 0)
    }


async def test_a_site_that_does_not_return_is_probed_again(
    broker_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "RESTART_LIMIT_S", 1.0)
    both = addresses(2)
    async with collecting(broker_port) as collector, probing("a", both[0], broker_port, tmp_path):
        await collector.mesh(*both)
        async with probing("b", both[1], broker_port, tmp_path):
            await collector.until(lambda: any(row.received for row in rows(collector, "a")))
        await collector.until(lambda: rows(collector, "a")[-1].failure == "peer_restarting")
        await collector.until(lambda: rows(collector, "a")[-1].failure == "refused")


async def test_two_sites_with_different_keys_name_them(broker_port: int, tmp_path: Path) -> None:
    both = addresses(2)
    async with collecting(broker_port) as collector, AsyncExitStack() as stack:
        for site, address in zip("ab", both, strict=True):
            key_file = tmp_path / f"{site}.key"
            key_file.write_text(site * 64)
            key_file.chmod(0o600)
            broker = f"mqtt://127.0.0.1:{broker_port}"
            daemon = ProbeDaemon(
                ProbeSettings(
                    site=site,
                    broker=BrokerSettings(url=broker),
                    data_dir=tmp_path / site,
                    bind=(address,),
                    key_file=key_file,
                ),
                iperf3=None,
            )
            stop = asyncio.Event()
            group = await stack.enter_async_context(asyncio.TaskGroup())
            group.create_task(daemon.run(stop), name=f"daemon[{site}]")
            stack.callback(stop.set)
        latency = {"report_interval_s": 0.5, "interval_s": 0.05, "authenticated": True}
        await collector.mesh(*both, latency=latency)
        await collector.until(lambda: any(row.failure == "wrong_key" for row in rows(collector, "a")))
    row = next(row for row in rows(collector, "a") if row.failure == "wrong_key")
    assert row.detail is not None
    assert row.detail.startswith("b has another key (its id is ")


async def test_two_real_probes_of_one_id_find_each_other_and_one_stays(
    broker_port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    older, newer = addresses(2)
    async with collecting(broker_port) as collector, probing("a", older, broker_port, tmp_path) as first:
        await collector.until(lambda: "a" in collector.statuses)
        async with probing("a", newer, broker_port, tmp_path / "second") as second:
            second._presence._own = second._presence._own.model_copy(
                update={"started": second._presence._own.started + timedelta(seconds=2)}
            )
            await until(lambda: len([r for r in caplog.records if "another probe runs as site a" in r.message]) == 2)
            await until(lambda: first._connection.connected and not second._connection.connected)
    sentences = [record.message for record in caplog.records]
    assert sorted("leaves the broker to it" in sentence for sentence in sentences) == [False, True]
