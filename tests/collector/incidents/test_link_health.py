"""When links are degraded, and since when each is in its state; and the columns of the answers that say so."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from collector.incidents.conditions import Evidence, LinkConditions, Subject
from collector.incidents.health_columns import state_words, with_health, words
from collector.incidents.link_health import KINDS, HealthBook, LinkHealth, LinkTest
from collector.incidents.normals import LinkLimits
from collector.linkstate.link_answers import LinkTable
from collector.linkstate.snapshot import LINK_STATES, Snapshot
from collector.settings import IncidentSettings
from linkweather.mesh import Group, Limits, Mesh, Site
from linkweather.models.state import Degradation

SITES = ("a", "b", "c")
SETTINGS = IncidentSettings(open_after_s=5.0, close_after_s=60.0)


def _snapshot(at: float, sites: tuple[str, ...] = SITES, **changes: Any) -> Snapshot:
    shape = (len(sites), len(sites))
    figures = {
        "rtt_p50_s": np.full(shape, 0.02),
        "goodput_p50_bps": np.full(shape, 1e9),
        "loss_ratio": np.zeros(shape),
        "jitter_s": np.full(shape, 0.001),
    }
    for name, places in changes.items():
        for place, value in places.items():
            figures[name][place] = value
    return Snapshot.of(sites, at=at, **figures)


def _calm(settings: IncidentSettings = SETTINGS, looks: int = 20) -> LinkConditions:
    links = LinkConditions(settings, SITES)
    for number in range(looks):
        links.find(_snapshot(2.0 * number))
    return links


def _state(links: LinkConditions, src: int, dst: int) -> str:
    return str(LINK_STATES[links.health.states[src, dst]])


def _look(links: LinkConditions, at: float, **changes: Any) -> str:
    links.find(_snapshot(at, **changes))
    return _state(links, 0, 1)


def test_a_link_that_loses_is_degraded_once_it_has_done_so_for_fifteen_seconds() -> None:
    links = _calm()
    states = {at: _look(links, at, loss_ratio={(0, 1): 0.3}) for at in (40.0, 54.9, 55.0)}
    assert states == {40.0: "fresh", 54.9: "fresh", 55.0: "degraded"}
    assert links.health.since[0, 1] == 40.0  # since it began, not since it counts
    assert _state(links, 1, 0) == "fresh"


def test_a_break_starts_the_wait_anew() -> None:
    links = _calm()
    for at, loss in ((40.0, 0.3), (50.0, 0.0), (52.0, 0.3), (56.0, 0.3)):
        assert _look(links, at, loss_ratio={(0, 1): loss}) == "fresh"


def test_it_is_over_after_a_minute_without() -> None:
    links = _calm()
    for at in (40.0, 55.0):
        _look(links, at, loss_ratio={(0, 1): 0.3})
    assert _look(links, 114.9) == "degraded"
    assert _look(links, 115.0) == "fresh"
    assert links.health.since[0, 1] == 115.0


@pytest.mark.parametrize(
    ("kind", "figure", "value"),
    [("latency", "rtt_p50_s", 0.2), ("jitter", "jitter_s", 0.05), ("goodput", "goodput_p50_bps", 1e8)],
)
def test_what_it_is_degraded_by(kind: Any, figure: str, value: float) -> None:
    links = _calm()
    for at in (40.0, 55.0, 70.0):
        _look(links, at, **{figure: {(0, 1): value}})
    assert _state(links, 0, 1) == "degraded"
    assert [one for one in KINDS if links.health.kinds[one].open[0, 1]] == [kind]
    assert links.health.kinds[kind].value[0, 1] == value


def test_a_link_without_contact_is_not_called_degraded() -> None:
    links = _calm()
    for at in (40.0, 55.0):
        _look(links, at, loss_ratio={(0, 1): 0.3})
    assert _look(links, 56.0, loss_ratio={(0, 1): 0.3}, rtt_p50_s={(0, 1): np.nan}) == "unknown"


def test_a_limit_of_the_mesh_counts_whatever_is_normal() -> None:
    links, limits = _calm(), LinkLimits.of(_mesh(limits=Limits(rtt_s=0.015, goodput_bps=2e9)))
    found = links.find(_snapshot(40.0), limits)
    assert found[Subject("latency", "a", "b")].limit == 0.015
    assert found[Subject("goodput", "b", "c")].limit == 2e9
    assert links.find(_snapshot(42.0), LinkLimits.of(Mesh(sites={"x": Site(address="192.0.2.9")}))) == {}


def _mesh(**more: Any) -> Mesh:
    return Mesh(sites={name: Site(address=f"192.0.2.{number}") for number, name in enumerate(SITES, 1)}, **more)


def test_a_group_has_limits_of_its_own_and_the_rest_from_the_mesh() -> None:
    group = Group(name="near", sites=("a", "b"), limits=Limits(rtt_s=0.01))
    limits = LinkLimits.of(_mesh(limits=Limits(rtt_s=0.2, loss_ratio=0.05), groups=(group, Group(name="all"))))
    assert (limits.rtt_s[0, 1], limits.rtt_s[0, 2], limits.loss_ratio[0, 1]) == (0.01, 0.2, 0.05)
    assert np.isnan(limits.goodput_bps[0, 1])


def test_states_follow_the_sites_of_a_changed_mesh() -> None:
    links = _calm()
    for at in (40.0, 55.0):
        _look(links, at, loss_ratio={(0, 1): 0.3})
    links.find(_snapshot(56.0, ("b", "d", "a"), loss_ratio={(2, 0): 0.3}))
    assert LINK_STATES[links.health.states[2, 0]] == "degraded"
    assert links.health.since[2, 0] == 40.0
    assert LINK_STATES[links.health.states[1, 0]] == "fresh"


def test_sites_that_come_before_the_first_look_are_no_change_of_state() -> None:
    links = LinkConditions(SETTINGS, ("x",))
    links.find(_snapshot(0.0))
    assert len(links.changes) == 0


def test_what_was_degraded_or_down_before_a_restart_still_is_since_then() -> None:
    links = LinkConditions(SETTINGS, SITES)
    links.restore(Subject("loss", "a", "b"), Evidence(0.3, 0.0), since=10.0, at=100.0)
    links.restore(Subject("link_down", "b", "a"), Evidence(), since=20.0, at=100.0)
    links.restore(Subject("link_down", "c", "a"), Evidence(), since=30.0, at=100.0)
    links.find(_snapshot(100.0, loss_ratio={(0, 1): 0.3}, rtt_p50_s={(1, 0): np.nan}))
    assert _state(links, 0, 1) == "degraded"
    assert links.health.since[0, 1] == 10.0
    assert links.health.since[1, 0] == 20.0
    assert np.isnan(links.health.since[2, 0])  # well again, since some time before


def test_each_change_of_state_is_a_line() -> None:
    links = _calm()
    _look(links, 40.0, loss_ratio={(0, 1): 0.3})
    _look(links, 55.0, loss_ratio={(0, 1): 0.3}, rtt_p50_s={(1, 2): np.nan})
    assert list(state_words(links.health, links.changes)) == [
        "link a → b is degraded, was fresh: loses 30.0 % (normally 0.0 %)",
        "link b → c is unknown, was fresh",
    ]


def test_some_of_the_changes_by_their_names() -> None:
    links = _calm()
    _look(links, 40.0, rtt_p50_s={(0, 1): np.nan, (1, 2): np.nan})
    assert list(links.changes.of(np.array([False, True])).names(SITES)) == [("b", "c")]


def test_forty_thousand_links_cost_a_look_a_fraction_of_its_two_seconds() -> None:
    sites = tuple(f"s{number}" for number in range(200))
    book, snapshot = HealthBook(SETTINGS, sites), _snapshot(0.0, sites)
    half = np.arange(40_000).reshape(200, 200) % 2 == 0
    test = LinkTest(half, snapshot.loss_ratio, snapshot.loss_ratio, np.full((1, 1), np.nan))
    begun_s = time.thread_time()
    for _ in range(5):
        book.look(snapshot, dict.fromkeys(KINDS, test))
    assert (time.thread_time() - begun_s) / 5 < 0.2  # 10 ms on an idle machine


# The answers.


def _table(states: list[str], at: float = 1000.0, **columns: Any) -> LinkTable:
    """The links a → b, a → c, … as far as there are states."""
    links = [(src, dst) for src in range(3) for dst in range(3) if src != dst][: len(states)]
    src, dst = (np.array(ends) for ends in zip(*links, strict=True))
    fields = {"state": states, **columns}
    return LinkTable(
        at, SITES, src, dst, {name: np.array([*values, None], object)[:-1] for name, values in fields.items()}
    )


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def test_the_answer_of_a_degraded_link_says_by_what_and_since_when() -> None:
    links = _calm()
    for at in (40.0, 55.0):
        _look(links, at, loss_ratio={(0, 1): 0.3})
    table = with_health(_table(["fresh", "fresh"]), links.health)
    loss = Degradation(kind="loss", since=_time(40.0), value=0.3, normal=0.0)
    assert table.values("state") == ["degraded", "fresh"]
    assert table.values("since") == [_time(40.0), None]
    assert table.values("degraded_by") == [(loss,), None]
    assert table.values("reason") == ["loses 30.0 % (normally 0.0 %)", None]


def test_a_state_that_the_last_look_did_not_find_began_now() -> None:
    links = _calm()
    table = with_health(_table(["stale"], age_s=[42.0]), links.health)
    assert table.values("since") == [_time(1000.0)]
    assert table.values("reason") == ["the last report is 42 s old"]


def test_before_the_first_look_no_state_has_a_beginning() -> None:
    table = with_health(_table(["fresh"]), LinkHealth.none())
    assert (table.values("state"), table.values("since")) == (["fresh"], [None])


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ({"failure": "no_reply", "failure_kind": "latency", "failure_detail": None}, "no reply"),
        ({"failure": "server_error", "failure_kind": "latency", "failure_detail": None}, "server_error"),
        (
            {"failure": "refused", "failure_kind": "latency", "failure_detail": "port 8620: refused"},
            "port 8620: refused",
        ),
        ({"failure": "busy", "failure_kind": "throughput"}, "answers again, and must do so a while longer"),
    ],
)
def test_why_a_link_is_down(link: dict[str, str], reason: str) -> None:
    columns: dict[str, Any] = {name: [value] for name, value in link.items()}
    assert with_health(_table(["down"], **columns), LinkHealth.none()).values("reason") == [reason]


def test_a_link_that_was_never_measured_says_so() -> None:
    assert with_health(_table(["unknown"]), LinkHealth.none()).values("reason") == ["not measured yet"]


def test_words_name_what_is_normal_and_the_limit() -> None:
    one = Degradation(kind="latency", since=_time(0.0), value=0.3, normal=0.02, limit=0.2)
    assert words(one) == "takes 300 ms (normally 20.0 ms, limit 200 ms)"
