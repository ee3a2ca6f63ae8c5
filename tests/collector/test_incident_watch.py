"""The watch over a real record: incidents are said, recorded, asked for, and gone on with after a restart."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from fastapi import FastAPI

from collector import incident_log_lines, incident_watch
from collector.api.api_requests import answer_errors
from collector.api.incident_api import SilenceSources, add_incidents, add_silences
from collector.incident_watch import IncidentSources, IncidentWatch
from collector.incidents import silences
from collector.incidents.conditions import Evidence, Subject
from collector.linkstate.link_states import LinkStates
from collector.linkstate.report_moments import ReportMoment
from collector.linkstate.snapshot import Snapshot
from collector.settings import IncidentSettings, StateSettings
from collector.store.incident_log import IncidentLog
from collector.store.journal import Journal
from linkweather.api_place import local_api
from linkweather.cli.root import main
from linkweather.client import AsyncClient
from linkweather.mesh import Mesh, Site
from linkweather.models.events import IncidentEvent
from linkweather.models.incidents import IncidentAnswer, SilenceAnswer
from linkweather.models.routes import NoRoute, PathExpectation, RouteAnswer
from linkweather.models.state import SiteAnswer
from linkweather.wire import LatencyRow
from tests import servers
from tests.collector.commands.serving import serving
from tests.waiting import running_task, until

SITES = ("a", "b", "c")
MESH = Mesh(sites={name: Site(address=f"192.0.2.{number}") for number, name in enumerate(SITES, 1)})
NOON = 1_700_000_000.0
SETTINGS = IncidentSettings(open_after_s=0.0, close_after_s=0.0)


class World:
    """What the watch sees: everything well, but for what a test changes."""

    def __init__(self) -> None:
        self.now = NOON
        self.rtt_s = np.full((3, 3), 0.02)
        self.failing: list[tuple[Subject, Evidence]] = []
        self.sites: list[SiteAnswer] = []
        self.events: list[IncidentEvent] = []
        self.notes: list[IncidentAnswer] = []
        self.route: RouteAnswer | NoRoute = self.through("b")

    def through(self, *relays: str) -> RouteAnswer:
        path = PathExpectation(sites=("a", *relays, "c"))
        return RouteAnswer(src="a", dst="c", objective="latency", at=datetime.now(UTC), path=path, why="it is")

    def sources(self) -> IncidentSources:
        return IncidentSources(
            mesh=lambda: MESH,
            snapshot=lambda now: Snapshot.of(SITES, at=now, rtt_p50_s=self.rtt_s),
            sites=lambda _now: self.sites,
            failing=lambda: self.failing,
            route=lambda _src, _dst: self.route,
            emit=self.events.append,
            notify=self.notes.append,
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    found = Journal(tmp_path / "journal.duckdb")
    yield found
    found.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incident_watch, "LOOK_S", 0.01)


def _watch(world: World, journal: Journal) -> IncidentWatch:
    return IncidentWatch(SETTINGS, IncidentLog(journal.database), world.sources(), lambda: world.now)


@contextlib.asynccontextmanager
async def _running(watch: IncidentWatch) -> AsyncIterator[None]:
    try:
        async with running_task(watch.run()):
            yield
    finally:
        await watch.finish()


async def _cut(world: World) -> None:
    """Cut a → c once the watch has seen it."""
    await asyncio.sleep(0.05)
    world.rtt_s = world.rtt_s.copy()
    world.rtt_s[0, 2] = np.nan
    await until(lambda: bool(world.events))


async def _all(watch: IncidentWatch, **more: Any) -> Any:
    span = {"since": datetime.fromtimestamp(NOON - 3600, UTC), "until": datetime.fromtimestamp(NOON + 3600, UTC)}
    return await watch.incidents(**{**span, "site": None, "limit": 10, **more})


async def test_a_cut_link_is_said_recorded_and_answered_with_where_its_traffic_goes(
    world: World, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch = _watch(world, journal)
    async with _running(watch):
        await _cut(world)
        found = await _all(watch)
        assert found.sentence == "1 thing is wrong since 2023-11-14 22:13:20 UTC"
        (incident,) = found.incidents
        assert incident.routes == ("traffic a → c goes through b",)
        assert (await _all(watch, site="b")).incidents == ()
        world.now += 100
        world.rtt_s = np.full((3, 3), 0.02)
        await until(lambda: world.events[-1].incident.until is not None)
    assert "a → c is down" in caplog.text
    assert f"incident {incident.id} is over" in caplog.text
    found = await _all(watch)
    assert found.sentence == "all is well: 6 links"
    assert [(one.id, one.until is None) for one in found.incidents] == [(incident.id, False)]
    assert [one.id for one in (await _all(watch, site="a")).incidents] == [incident.id]


async def test_an_incident_goes_on_after_a_restart(world: World, journal: Journal) -> None:
    watch = _watch(world, journal)
    async with _running(watch):
        await _cut(world)
    (before,) = watch.lasting
    again = _watch(world, journal)
    again.restore()
    world.events.clear()
    async with _running(again):
        await asyncio.sleep(0.05)
        assert [one.id for one in again.lasting] == [before.id]
    assert world.events == []


async def test_a_link_that_is_down_when_the_collector_starts_opens_an_incident(world: World, journal: Journal) -> None:
    links = LinkStates(MESH, StateSettings())
    at = datetime.fromtimestamp(NOON - 2.0, UTC)
    for seq, (src, dst) in enumerate(MESH.pairs(), 1):
        received = 0 if (src, dst) == ("a", "c") else 50
        row = LatencyRow(
            src=src, dst=dst, method="stamp", sent=50, received=received, rtt_p50_s=0.02 if received else None
        )
        links.observe(ReportMoment.of(at, at, "boot", seq), [row])
    sources = dataclasses.replace(world.sources(), snapshot=links.snapshot)
    settings = IncidentSettings(open_after_s=4.0)
    watch = IncidentWatch(settings, IncidentLog(journal.database), sources, lambda: world.now)
    watch.restore()  # nothing lasted before
    watch._look()
    world.now += 3.9
    watch._look()
    assert world.events == []
    world.now += 0.2
    watch._look()
    (event,) = world.events
    assert event.incident.sentence.startswith("a → c is down")
    assert event.incident.since == datetime.fromtimestamp(NOON, UTC)


@pytest.mark.parametrize(
    ("relays", "words"),
    [((), "traffic a → c stays on the direct link"), (("b",), "traffic a → c goes through b")],
)
async def test_the_routes_of_an_incident(world: World, journal: Journal, relays: Iterable[str], words: str) -> None:
    world.route = world.through(*relays)
    async with _running(_watch(world, journal)):
        await _cut(world)
    assert world.events[0].incident.routes == (words,)


async def test_a_link_without_a_path_says_so(world: World, journal: Journal) -> None:
    world.route = NoRoute(src="a", dst="c", objective="latency", reason="down", why="no")
    async with _running(_watch(world, journal)):
        await _cut(world)
    assert world.events[0].incident.routes == ("a → c has no usable path",)


async def test_while_the_broker_is_away_only_that_is_wrong(world: World, journal: Journal) -> None:
    world.failing = [(Subject("collector", name="the connection to the broker"), Evidence(detail="refused"))]
    watch = _watch(world, journal)
    async with _running(watch):
        await _cut(world)
        await asyncio.sleep(0.05)
    assert [one.kind for one in watch.lasting] == ["collector"]


async def test_a_collector_that_lags_is_the_one_cause_and_not_each_of_its_sites(world: World, journal: Journal) -> None:
    waiting_s = [0.0]
    not_heard: list[float] = []
    sources = dataclasses.replace(world.sources(), waiting_s=lambda _now: waiting_s[0], not_hearing=not_heard.append)
    watch = IncidentWatch(SETTINGS, IncidentLog(journal.database), sources, lambda: world.now)
    async with _running(watch):
        await _cut(world)  # what was wrong before stays
        waiting_s[0] = 12.0
        world.sites = [
            SiteAnswer(site=site, address="192.0.2.1", state="offline", report_age_s=60.0, reason="silent")
            for site in SITES
        ]
        await until(lambda: len(watch.lasting) == 2)
        before = len(not_heard)
        await until(lambda: len(not_heard) >= before + 3)
        assert [one.kind for one in watch.lasting] == ["link_down", "collector"]
        waiting_s[0] = 0.0
        world.now += 30.0
        await until(lambda: any(one.kind == "site_silent" for one in watch.lasting))
    sentence = next(event.incident.sentence for event in world.events if event.incident.kind == "collector")
    assert sentence.startswith("the intake of reports lags: reports wait 12 s to be committed")


async def test_each_site_that_comes_and_each_link_that_changes_is_a_line_in_the_log(
    world: World, journal: Journal, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(incident_log_lines, "MOST_LINES", 1)
    world.sites = [SiteAnswer(site="a", address="192.0.2.1", state="online")]
    changed: list[tuple[int, list[tuple[str, str]]]] = []
    sources = dataclasses.replace(world.sources(), degraded=lambda count, links: changed.append((count, list(links))))
    watch = IncidentWatch(SETTINGS, IncidentLog(journal.database), sources, lambda: world.now)
    async with _running(watch):
        await until(lambda: bool(changed))
        world.sites = [SiteAnswer(site="a", address="192.0.2.1", state="offline", reason="it was stopped")]
        world.rtt_s = np.where(np.eye(3, dtype=bool), np.nan, np.full((3, 3), np.nan))
        await until(lambda: "further links" in caplog.text)
        await until(lambda: "site a is" in caplog.text)
    assert "site a is offline, was online: it was stopped" in caplog.text
    assert "link a → b is unknown, was fresh" in caplog.text
    assert "5 further links changed their state" in caplog.text
    assert {count for count, _ in changed} == {0}


async def test_what_clocks_are_wrong_by_is_a_line_in_the_log(
    world: World, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    news = ["the clock of site a is 2 h ahead of the collector's"]
    sources = replace(world.sources(), clock_news=lambda _now: [news.pop()] if news else [])
    async with _running(IncidentWatch(SETTINGS, IncidentLog(journal.database), sources, lambda: world.now)):
        await until(lambda: "the clock of site a is 2 h ahead" in caplog.text)


async def test_of_a_cluster_the_owner_of_the_site_alone_tells_and_all_answer(world: World, journal: Journal) -> None:
    owned: set[str] = set()
    sources = dataclasses.replace(world.sources(), owns=owned.__contains__)
    watch = IncidentWatch(SETTINGS, IncidentLog(journal.database), sources, lambda: world.now)
    world.failing = [(Subject("sink", name="influx"), Evidence(detail="503"))]
    async with _running(watch):
        await asyncio.sleep(0.05)
        world.rtt_s = world.rtt_s.copy()
        world.rtt_s[0, 2] = np.nan
        await until(lambda: len(watch.lasting) == 2)
        assert [event.incident.kind for event in world.events] == ["sink"]
        assert {one.kind for one in (await _all(watch)).incidents} == {"sink", "link_down"}
        owned.add("a")
        world.rtt_s[2, 0] = np.nan
        await until(lambda: len(world.events) == 2)
    assert world.events[1].incident.cause == "a – c"


async def test_a_failing_sink_is_an_incident_beside_the_links(world: World, journal: Journal) -> None:
    world.failing = [(Subject("sink", name="influx"), Evidence(detail="503"))]
    watch = _watch(world, journal)
    async with _running(watch):
        await _cut(world)
        await until(lambda: len(watch.lasting) == 2)
    assert {one.kind for one in watch.lasting} == {"sink", "link_down"}


async def test_what_a_failing_disk_did_not_take_is_recorded_later(
    world: World, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = IncidentLog(journal.database)
    take = log.put
    watch = IncidentWatch(SETTINGS, log, world.sources(), lambda: world.now)

    def fail(_incidents: object) -> None:
        raise duckdb.IOException("no space left on device")

    monkeypatch.setattr(log, "put", fail)
    async with _running(watch):
        await _cut(world)
        await asyncio.sleep(0.05)
        assert log.lasting() == []
        monkeypatch.setattr(log, "put", take)
    assert len(log.lasting()) == 1


async def test_incidents_that_wait_for_the_disk_are_bounded_and_counted(
    world: World, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incident_watch, "MOST_UNWRITTEN", 1)
    world.failing = [(Subject("sink", name=name), Evidence(detail="503")) for name in ("one", "two", "three")]
    watch = _watch(world, journal)
    async with _running(watch):
        await until(lambda: len(watch.lasting) == 3)
    assert watch.dropped == 2


async def test_old_incidents_are_deleted(world: World, journal: Journal) -> None:
    watch = _watch(world, journal)
    async with _running(watch):
        await _cut(world)
        world.rtt_s = np.full((3, 3), 0.02)
        await until(lambda: world.events[-1].incident.until is not None)
    world.now += SETTINGS.keep_days * 86400 + 3600
    async with _running(_watch(world, journal)):
        await until(lambda: not journal.database.rows("SELECT 1 FROM incidents"))


def test_a_record_of_another_version_is_left_out(journal: Journal) -> None:
    log = IncidentLog(journal.database)
    with journal.database.transaction() as connection:
        connection.execute("INSERT INTO incidents VALUES ('x', now(), NULL, [], '{\"id\": 7}')")
    assert log.lasting() == []


async def test_the_api_the_client_and_the_command_say_the_same(world: World, journal: Journal) -> None:
    watch = _watch(world, journal)
    app = FastAPI()
    answer_errors(app)
    add_incidents(app, lambda: world.now, lambda: MESH, watch.incidents)
    with serving(app) as api:
        async with _running(watch), AsyncClient(local_api(api)) as client:
            assert (await client.incidents()).sentence == "all is well: 6 links"
            quiet = await asyncio.to_thread(_run, api)
            assert (quiet.exit_code, quiet.stdout) == (0, "all is well: 6 links\n")
            await _cut(world)
            found = await client.incidents(site="a")
            wrong = await asyncio.to_thread(_run, api)
            assert wrong.exit_code == 1
            assert "a → c is down" in wrong.stdout
            assert found.sentence in wrong.stdout
            cut = await asyncio.to_thread(_run, api, "--json")
            assert found.incidents[0].id in cut.stdout
            for options in (("--site", "nobody"), ("--since", "yesterday")):
                refused = await asyncio.to_thread(_run, api, *options)
                assert refused.exit_code == 2
                assert refused.stderr.startswith("Error: ")
            assert "1 further incident" in (await asyncio.to_thread(_two_of, world, watch, api)).stdout


def _two_of(world: World, watch: IncidentWatch, api: str) -> Any:
    world.failing = [(Subject("sink", name="influx"), Evidence(detail="503"))]
    servers.wait_until(lambda: len(watch.lasting) == 2, "two incidents")
    return _run(api, "--limit", "1")


def _run(api: str, *options: str) -> Any:
    return CliRunner().invoke(main, ["incidents", "--api", api, *options])


def _silence_app(watch: IncidentWatch, world: World) -> FastAPI:
    app = FastAPI()
    answer_errors(app)
    add_incidents(app, lambda: world.now, lambda: MESH, watch.incidents)
    sources = SilenceSources(
        now=lambda: world.now,
        mesh=lambda: MESH,
        lasting=lambda: [one.id for one in watch.lasting],
        silences=watch.silences,
        add=watch.silence,
        remove=watch.end_silence,
    )
    add_silences(app, sources)
    return app


def _silence(world: World, **of: Any) -> SilenceAnswer:
    at = datetime.fromtimestamp(world.now, UTC)
    return SilenceAnswer(id="s1", at=at, until=at + timedelta(hours=1), reason="repairs", **of)


async def test_nobody_is_told_of_what_is_silenced_and_all_of_it_once_the_silence_is_over(
    world: World, journal: Journal
) -> None:
    watch = _watch(world, journal)
    async with _running(watch):
        assert await watch.silence(_silence(world, site="a"))
        await _cut(world)
        assert (world.notes, len(watch.lasting), watch.lasting_answers()) == ([], 1, [])
        assert (await _all(watch)).incidents[0].silence == _silence(world, site="a")
        world.now += 3601
        await until(lambda: bool(world.notes))
        assert [one.until for one in world.notes] == [None]
        assert len(watch.lasting_answers()) == 1


async def test_what_begins_and_ends_in_a_silence_is_no_news(world: World, journal: Journal) -> None:
    watch = _watch(world, journal)
    async with _running(watch):
        assert await watch.silence(_silence(world, site="a"))
        await _cut(world)
        world.now += 10
        world.rtt_s = np.full((3, 3), 0.02)
        await until(lambda: world.events[-1].incident.until is not None)
        world.now += 3601
        await asyncio.sleep(0.1)
    assert world.notes == []


async def test_a_silence_outlives_a_restart(world: World, journal: Journal) -> None:
    first = _watch(world, journal)
    async with _running(first):
        assert await first.silence(_silence(world, site="a"))
        await _cut(world)
    again = _watch(world, journal)
    again.restore()
    assert [one.id for one in again.silences()] == ["s1"]
    assert (world.notes, [one.kind for one in again.silenced()]) == ([], ["link_down"])
    async with _running(again):
        world.now += 3601
        await until(lambda: bool(world.notes))


async def test_an_acknowledged_incident_is_told_again_only_of_its_end(world: World, journal: Journal) -> None:
    watch = _watch(world, journal)
    with serving(_silence_app(watch, world)) as api:
        async with _running(watch), AsyncClient(local_api(api)) as client:
            await _cut(world)
            await until(lambda: len(world.notes) == 1)
            (one,) = watch.lasting
            given = await client.acknowledge(one.id, reason="the cable is ordered", until="2h")
            assert given.until == datetime.fromtimestamp(world.now + 7200, UTC)
            world.rtt_s = world.rtt_s.copy()
            world.rtt_s[2, 0] = np.nan
            await until(lambda: len(world.events) == 2)  # both directions now
            assert world.events[1].incident.silence == given
            assert len(world.notes) == 1
            assert len(watch.lasting_answers()) == 1  # who must be reminded, is
            world.now += 10
            world.rtt_s = np.full((3, 3), 0.02)
            await until(lambda: len(world.notes) == 2)
            assert world.notes[1].until is not None


def _cli(api: str, *words: str) -> Any:
    return CliRunner().invoke(main, ["incidents", *words, "--api", api])


async def test_the_command_acknowledges_silences_and_ends(world: World, journal: Journal) -> None:
    watch = _watch(world, journal)
    with serving(_silence_app(watch, world)) as api:
        async with _running(watch):
            await _cut(world)
            (one,) = watch.lasting
            why = ("--reason", "repairs", "--until", "2h")
            done = await asyncio.to_thread(_cli, api, "ack", one.id, *why)
            assert (done.exit_code, done.output.partition(" ")[2]) == (0, "until 2023-11-15 00:13:20 UTC: repairs\n")
            for of in (("--site", "b"), ("--link", "a", "c"), ("--kind", "loss")):
                assert (await asyncio.to_thread(_cli, api, "silence", *of, *why)).exit_code == 0
            shown = (await asyncio.to_thread(_cli, api, "silences")).output
            assert f"incident {one.id}" in shown
            assert all(what in shown for what in ("a – c", "loss", "2023-11-15 00:13", "repairs"))
            assert "acknowledged until 2023-11-15 00:13 UTC: repairs" in " ".join(
                (await asyncio.to_thread(_run, api)).stdout.split()
            )
            for silence in json.loads((await asyncio.to_thread(_cli, api, "silences", "--json")).output):
                ended = await asyncio.to_thread(_cli, api, "unsilence", silence["id"])
                assert ended.output == f"{silence['id']} is ended\n"
            assert (await asyncio.to_thread(_cli, api, "silences")).output == "nothing is silenced\n"


@pytest.mark.parametrize(
    ("path", "body", "refusal"),
    [
        ("silences", {"reason": "x", "until": "2h"}, (422, "one is needed")),
        ("silences", {"reason": "x", "until": "2h", "src": "a"}, (422, "src and dst")),
        ("silences", {"reason": "x", "until": "2h", "site": "a", "src": "a", "dst": "b"}, (422, "or neither")),
        ("silences", {"reason": "x", "until": "2h", "site": "nowhere"}, (422, "no such site")),
        ("silences", {"reason": "x", "until": "400d", "site": "a"}, (422, "at most 366 days")),
        ("silences", {"reason": "x", "until": "2020-01-01T00:00:00Z", "site": "a"}, (422, "must lie ahead")),
        ("silences", {"reason": "x", "until": "soon", "site": "a"}, (422, "until = ")),
        ("silences", {"until": "2h", "site": "a"}, (422, "reason")),
        ("silences", ["a"], (422, "reason")),
        ("silences", None, (422, "not JSON")),
        ("incidents/none/acknowledge", {"reason": "x", "until": "2h"}, (404, "no incident 'none' lasts")),
    ],
)
def test_what_cannot_be_silenced_says_why(
    world: World, journal: Journal, path: str, body: Any, refusal: tuple[int, str]
) -> None:
    content = b"{" if body is None else json.dumps(body).encode()
    with serving(_silence_app(_watch(world, journal), world), "secret") as api:
        headers = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
        answer = httpx.post(f"{api}/api/v1/{path}", content=content, headers=headers)
        assert answer.status_code == refusal[0]
        assert refusal[1] in answer.json()["error"]
        assert httpx.delete(f"{api}/api/v1/silences/none", headers=headers).status_code == 404


def test_silences_have_a_bound_and_ask_for_the_token(
    world: World, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silences, "MOST_SILENCES", 0)
    with serving(_silence_app(_watch(world, journal), world), "secret") as api:
        url, body = f"{api}/api/v1/silences", {"reason": "x", "until": "2h", "site": "a"}
        assert httpx.post(url, json=body).status_code == 401
        allowed = httpx.post(url, json=body, headers={"Authorization": "Bearer secret"})
        assert (allowed.status_code, "too many" in allowed.json()["error"]) == (409, True)


async def test_a_site_that_claims_too_little_is_suspect_until_an_operator_acknowledges_it(
    world: World, journal: Journal
) -> None:
    suspects: list[Mapping[str, str]] = []
    sources = dataclasses.replace(world.sources(), suspect=suspects.append)
    watch = IncidentWatch(SETTINGS, IncidentLog(journal.database), sources, lambda: world.now)
    world.rtt_s[2, :2] = 0.0001
    async with _running(watch):
        await until(lambda: bool(suspects and suspects[-1]))
        said = suspects[-1]["c"]
        assert said == "it claims 2 RTTs of less than half of what its peers measure"
        (incident,) = watch.lasting_answers()
        assert (incident.kind, incident.subjects) == ("implausible", ("c",))
        assert incident.sentence.startswith(f"c is suspect: {said}; it relays nothing, and no job is")
        world.rtt_s[2, :2] = 0.02  # it stops, and stays suspect
        looks, world.now = len(suspects), world.now + 3600
        await until(lambda: len(suspects) > looks + 3)
        assert suspects[-1] == {"c": said}
        moment = datetime.fromtimestamp(world.now, UTC)
        ack = SilenceAnswer(id="1", at=moment, until=moment + timedelta(hours=1), reason="seen", incident=incident.id)
        assert await watch.silence(ack)
        await until(lambda: not suspects[-1])
        await until(lambda: not watch.lasting)


async def test_claims_of_devices_make_suspect_too(world: World, journal: Journal) -> None:
    suspects: list[Mapping[str, str]] = []
    claims = {"c": "it claims 9 a100", "b": "it claims 8 a100"}
    sources = dataclasses.replace(world.sources(), suspect=suspects.append, claimed=lambda: claims)
    watch = IncidentWatch(SETTINGS, IncidentLog(journal.database), sources, lambda: world.now)
    world.rtt_s[2, :2] = 0.0001
    async with _running(watch):
        await until(lambda: bool(suspects and suspects[-1]))
    assert suspects[-1] == {
        "b": "it claims 8 a100",
        "c": "it claims 2 RTTs of less than half of what its peers measure; it claims 9 a100",
    }


async def test_an_acknowledged_site_relays_though_it_goes_on(world: World, journal: Journal) -> None:
    suspects: list[Mapping[str, str]] = []
    sources = dataclasses.replace(world.sources(), suspect=suspects.append)
    watch = IncidentWatch(SETTINGS, IncidentLog(journal.database), sources, lambda: world.now)
    world.rtt_s[2, :2] = 0.0001
    async with _running(watch):
        await until(lambda: bool(suspects and suspects[-1]))
        (incident,) = watch.lasting_answers()
        moment = datetime.fromtimestamp(world.now, UTC)
        ack = SilenceAnswer(id="1", at=moment, until=moment + timedelta(hours=1), reason="ours", incident=incident.id)
        await watch.silence(ack)
        await until(lambda: not suspects[-1])
        assert watch.lasting
        world.now += 7200  # the acknowledgement is over
        await until(lambda: bool(suspects[-1]))
