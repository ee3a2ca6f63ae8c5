"""The answers about links with all that is known: health, why, and how the traffic goes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from collector import complete_links
from collector.complete_links import CompleteLinks
from collector.incidents.conditions import LinkConditions
from collector.incidents.link_health import LinkHealth
from collector.linkstate.link_states import LinkStates
from collector.linkstate.site_states import SiteStates
from collector.routing.route_columns import RouteView
from collector.routing.router import Router
from collector.settings import IncidentSettings, RoutingSettings, StateSettings
from linkweather.mesh import Mesh
from linkweather.models.state import LinkAnswer
from linkweather.wire import LatencyRow, Status
from tests.collector.report_samples import moment

MESH = Mesh.model_validate({"sites": {name: {"address": f"192.0.2.{n}"} for n, name in enumerate("abc", 1)}})
PAIRS = tuple(MESH.pairs())


class Observed:
    """A mesh of three sites whose links a test measures; a → b takes 80 ms, the others 10 ms."""

    def __init__(self) -> None:
        self.sites = SiteStates(MESH)
        self.links = LinkStates(MESH, StateSettings(), self.sites.next_test)
        self.conditions = LinkConditions(IncidentSettings(open_after_s=0.0), tuple(MESH.sites))
        self.router = Router(RoutingSettings(), MESH)
        self.view = CompleteLinks(
            links=self.links, sites=self.sites, health=lambda: self.conditions.health, routes=self._routes
        )

    def report(self, at: float, *lost: tuple[str, str], received: int = 100) -> None:
        for src, dst in PAIRS:
            rtt_s = 0.08 if (src, dst) == ("a", "b") else 0.01
            row = LatencyRow(src=src, dst=dst, method="stamp", sent=100, received=received, rtt_p50_s=rtt_s)
            none = {"received": 0, "rtt_p50_s": None}
            self.links.observe(moment(at), [row.model_copy(update=none if (src, dst) in lost else {})])

    def look(self, now: float) -> None:
        snapshot = self.links.snapshot(now)
        self.conditions.find(snapshot)
        for _ in self.router.steps(snapshot):
            pass

    def _routes(self) -> RouteView | None:
        return self.router.view("latency")

    def answers(self, now: float) -> dict[tuple[str, str], dict[str, Any]]:
        table = self.view.whole(now, list(self.view.parts(now)))()
        return {(one["src"], one["dst"]): one for some in table.answers() for one in some}


@pytest.fixture
def observed() -> Observed:
    return Observed()


def test_links_that_are_well_have_no_reason(observed: Observed) -> None:
    observed.report(100.0)
    observed.look(101.0)
    for one in observed.answers(102.0).values():
        assert (one["state"], one["reason"], one["traffic"], one["degraded_by"]) == ("fresh", None, None, None)


def test_a_link_that_is_down_says_why_since_when_and_where_its_traffic_goes(observed: Observed) -> None:
    observed.report(100.0)
    observed.look(101.0)
    observed.report(105.0, ("a", "b"))
    observed.look(106.0)
    one = observed.answers(107.0)["a", "b"]
    assert (one["state"], one["reason"]) == ("down", "no reply")
    assert one["since"] == datetime.fromtimestamp(106.0, UTC)
    assert (one["traffic"], one["traffic_relays"]) == ("relayed", ("c",))


def test_one_link_is_answered_as_among_all(observed: Observed) -> None:
    observed.report(100.0, received=70)
    observed.look(101.0)
    every = observed.answers(102.0)
    for src, dst in PAIRS:
        found = observed.view.link(src, dst, 102.0)
        assert found == LinkAnswer.model_construct(**every[src, dst])
        assert found is not None
        assert (found.state, found.traffic) == ("degraded", "direct")
    assert observed.view.link("a", "nowhere", 102.0) is None


def test_the_links_of_a_page_are_answered_as_among_all(observed: Observed) -> None:
    observed.report(100.0, ("a", "b"))
    observed.look(101.0)
    every, found = observed.answers(102.0), []
    after = None
    for expected in (("b", "c"), None):
        complete, after = observed.view.page(102.0, 4, after)
        found += [one for some in complete().answers() for one in some]
        assert after == expected
    assert found == [every[pair] for pair in sorted(PAIRS)]


def test_a_site_that_is_gone_is_the_reason_of_its_links(observed: Observed) -> None:
    observed.report(100.0)
    observed.sites.reported("b", 100.0)
    observed.sites.status("b", Status(state="offline"))
    observed.look(101.0)
    assert observed.answers(102.0)["b", "a"]["reason"] is None  # it was fresh just now
    reasons = {pair: one["reason"] for pair, one in observed.answers(130.0).items()}
    gone = "b is offline: its connection to the broker was lost"
    assert reasons == {pair: gone if "b" in pair else "the last report is 30 s old" for pair in PAIRS}


def test_a_link_without_any_path_says_so(observed: Observed) -> None:
    observed.report(100.0, *PAIRS)
    observed.look(101.0)
    assert {one["traffic"] for one in observed.answers(102.0).values()} == {"none"}


def test_before_the_first_decision_no_traffic_is_known(observed: Observed) -> None:
    assert {one["traffic"] for one in observed.answers(100.0).values()} == {None}


def test_links_are_counted_by_state(observed: Observed) -> None:
    observed.report(100.0, received=70)
    observed.look(101.0)
    counts = observed.view.counts(observed.links.counts(102.0))
    assert {name: count for name, count in counts.items() if count} == {"degraded": 6}
    assert set(observed.view.states(list(observed.view.parts(102.0)))().values("state")) == {"degraded"}
    observed.view = CompleteLinks(
        links=observed.links, sites=observed.sites, health=LinkHealth.none, routes=lambda: None
    )
    assert observed.view.counts(observed.links.counts(102.0))["fresh"] == 6


@pytest.mark.parametrize("at_once", [1, 2, 6, 7])
def test_links_are_captured_some_at_a_time(observed: Observed, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    observed.report(100.0, ("a", "b"))
    observed.look(101.0)
    found = observed.answers(102.0)
    monkeypatch.setattr(complete_links, "LINKS_AT_ONCE", at_once)
    assert list(observed.answers(102.0).items()) == list(found.items())


def test_a_page_and_all_links_begin_what_forecasts_are_due_and_wait_for_no_others(
    observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[float] = []
    monkeypatch.setattr(observed.links, "refresh_some", begun.append)
    observed.view.page(102.0, 2, None)
    assert len(list(observed.view.parts(103.0))) == 1
    assert begun == [102.0, 103.0]


def test_a_mesh_that_changes_while_links_are_captured_is_captured_as_it_is_then(
    observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(complete_links, "LINKS_AT_ONCE", 2)
    capture = observed.view.parts(102.0)
    parts = [next(capture)]
    observed.links.apply_mesh(Mesh.model_validate({"sites": {name: {"address": name} for name in "abcd"}}))
    assert len(observed.view.whole(102.0, [*parts, *capture])()) == 12


def test_the_table_can_be_completed_while_the_states_move_on(observed: Observed) -> None:
    observed.report(100.0)
    observed.look(101.0)
    complete = observed.view.whole(102.0, list(observed.view.parts(102.0)))
    observed.report(103.0, *PAIRS)
    observed.look(104.0)
    assert np.all(complete().columns["state"] == "fresh")
