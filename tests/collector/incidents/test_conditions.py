"""What is wrong at one moment, worked out by hand over small snapshots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from collector.incidents import conditions
from collector.incidents.conditions import Evidence, LinkConditions, Subject, site_conditions
from collector.linkstate.snapshot import LINK_STATES, Snapshot
from collector.settings import IncidentSettings
from linkweather.models.state import SiteAnswer

SITES = ("a", "b", "c")
SETTINGS = IncidentSettings()


def _snapshot(at: float, sites: tuple[str, ...] = SITES, **changes: Any) -> Snapshot:
    """All links at 20 ms, 1 Gbit/s and no loss, but for `changes`: {"rtt_p50_s": {(0, 1): 0.5}}."""
    shape = (len(sites), len(sites))
    figures = {
        "rtt_p50_s": np.full(shape, 0.02),
        "goodput_p50_bps": np.full(shape, 1e9),
        "loss_ratio": np.zeros(shape),
    }
    for name, places in changes.items():
        for place, value in places.items():
            figures[name][place] = value
    return Snapshot.of(sites, at=at, **figures)


def _calm(links: LinkConditions, looks: int = 20, start: float = 0.0, **changes: Any) -> None:
    for number in range(looks):
        found = links.find(_snapshot(start + 2.0 * number, **changes))
    assert number == looks - 1
    assert not found or changes


def test_nothing_is_wrong_with_links_that_are_as_always() -> None:
    links = LinkConditions(SETTINGS, SITES)
    _calm(links)
    assert links.find(_snapshot(60.0)) == {}


def test_a_link_never_seen_is_not_down() -> None:
    links = LinkConditions(SETTINGS, SITES)
    assert links.find(_snapshot(0.0, rtt_p50_s={(0, 1): np.nan}, goodput_p50_bps={(0, 1): np.nan})) == {}


def test_a_link_that_was_in_contact_is_down() -> None:
    links = LinkConditions(SETTINGS, SITES)
    _calm(links)
    found = links.find(_snapshot(60.0, rtt_p50_s={(0, 1): np.nan}))
    assert found == {Subject("link_down", "a", "b"): Evidence()}


def _dead(at: float, *unknown: str, state: str = "down") -> Snapshot:
    """All links are well but a → b, which is in this state; nothing came from the sites that are unknown."""
    contact = np.full((3, 3), LINK_STATES.index("fresh"))
    contact[0, 1] = LINK_STATES.index(state)
    for site in unknown:
        contact[SITES.index(site)] = LINK_STATES.index("unknown")
    rtt_s = np.where(contact == LINK_STATES.index("fresh"), 0.02, np.nan)
    return Snapshot.of(SITES, at=at, rtt_p50_s=rtt_s, contact=contact)


def test_a_link_that_is_down_at_the_first_look_is_down() -> None:
    links = LinkConditions(SETTINGS, SITES)
    assert links.find(_dead(0.0)) == {Subject("link_down", "a", "b"): Evidence()}


def test_a_link_that_expired_before_the_first_look_waits_for_a_report_that_says_so() -> None:
    links = LinkConditions(SETTINGS, SITES)
    assert links.find(_dead(0.0, state="expired")) == {}
    assert links.find(_dead(2.0)) == {}
    assert links.find(_dead(62.0)) == {Subject("link_down", "a", "b"): Evidence()}


def test_a_link_that_was_never_up_is_down_after_a_while_and_only_where_its_destination_reports() -> None:
    links, silent = LinkConditions(SETTINGS, SITES), LinkConditions(SETTINGS, SITES)
    assert links.find(_dead(0.0, state="unknown")) == {}
    assert links.find(_dead(2.0)) == links.find(_dead(61.9)) == {}
    assert links.find(_dead(62.0)) == {Subject("link_down", "a", "b"): Evidence()}
    assert silent.find(_dead(0.0, "b")) == silent.find(_dead(100.0, "b")) == {}


def test_loss_above_the_limit() -> None:
    links = LinkConditions(SETTINGS, SITES)
    _calm(links)
    assert links.find(_snapshot(60.0, loss_ratio={(1, 2): 0.02})) == {}
    assert links.find(_snapshot(62.0, loss_ratio={(1, 2): 0.03})) == {Subject("loss", "b", "c"): Evidence(0.03, 0.0)}


def test_a_link_that_always_loses_some_must_lose_twice_as_much() -> None:
    links = LinkConditions(SETTINGS, SITES)
    _calm(links, 60, loss_ratio={(1, 2): 0.04})
    assert links.find(_snapshot(130.0, loss_ratio={(1, 2): 0.07})) == {}
    assert Subject("loss", "b", "c") in links.find(_snapshot(132.0, loss_ratio={(1, 2): 0.10}))


def test_latency_is_half_above_what_is_normal() -> None:
    links = LinkConditions(SETTINGS, SITES)
    _calm(links)
    found = links.find(_snapshot(60.0, rtt_p50_s={(0, 1): 0.0299, (0, 2): 0.0301}))
    assert set(found) == {Subject("latency", "a", "c")}
    assert found[Subject("latency", "a", "c")].normal == pytest.approx(0.02)


def test_a_short_link_must_be_slower_by_some_milliseconds() -> None:
    links = LinkConditions(SETTINGS, SITES)
    every = {(src, dst): 0.0002 for src in range(3) for dst in range(3)}
    _calm(links, rtt_p50_s=every)
    assert links.find(_snapshot(60.0, rtt_p50_s={**every, (0, 1): 0.005})) == {}
    assert Subject("latency", "a", "b") in links.find(_snapshot(62.0, rtt_p50_s={**every, (0, 1): 0.006}))


def test_goodput_below_half_of_what_is_normal() -> None:
    links = LinkConditions(SETTINGS, SITES)
    _calm(links)
    assert links.find(_snapshot(60.0, goodput_p50_bps={(2, 0): 0.51e9})) == {}
    found = links.find(_snapshot(62.0, goodput_p50_bps={(2, 0): 0.4e9}))
    assert found[Subject("goodput", "c", "a")].value == 0.4e9


def test_a_site_that_nothing_reaches_any_more() -> None:
    links = LinkConditions(SETTINGS, SITES)
    _calm(links)
    found = links.find(_snapshot(60.0, rtt_p50_s={(0, 2): np.nan, (1, 2): np.nan}))
    assert Subject("site_unreachable", "c") in found
    assert Subject("site_unreachable", "a") not in found


def test_a_site_is_reachable_as_long_as_one_link_to_it_is_up() -> None:
    links = LinkConditions(SETTINGS, SITES)
    _calm(links)
    found = links.find(_snapshot(60.0, rtt_p50_s={(0, 2): np.nan}))
    assert set(found) == {Subject("link_down", "a", "c")}


def test_what_is_normal_follows_the_sites_of_a_changed_mesh() -> None:
    links = LinkConditions(SETTINGS, SITES)
    _calm(links)
    found = links.find(_snapshot(60.0, ("c", "d", "a"), rtt_p50_s={(0, 2): 0.5}))
    assert set(found) == {Subject("latency", "c", "a")}


def test_what_was_normal_before_a_restart_is_still() -> None:
    links = LinkConditions(SETTINGS, SITES)
    links.restore(Subject("latency", "a", "b"), Evidence(0.5, 0.02), 0.0, 0.0)
    links.restore(Subject("link_down", "b", "a"), Evidence(), 0.0, 0.0)
    links.restore(Subject("latency", "gone", "a"), Evidence(0.5, 0.02), 0.0, 0.0)
    links.restore(Subject("goodput", "c", "a"), Evidence(1e8, None), 0.0, 0.0)
    found = links.find(_snapshot(1.0, rtt_p50_s={(0, 1): 0.5, (1, 0): np.nan}))
    assert set(found) == {Subject("latency", "a", "b"), Subject("link_down", "b", "a")}


def test_one_moment_has_a_bounded_number_of_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "MOST_CONDITIONS", 2)
    links = LinkConditions(SETTINGS, SITES)
    _calm(links)
    every = {(src, dst): 0.5 for src in range(3) for dst in range(3) if src != dst}
    assert len(links.find(_snapshot(60.0, loss_ratio=every))) == 2


def _site(**more: Any) -> SiteAnswer:
    return SiteAnswer(site="a", address="192.0.2.1", **more)


@pytest.mark.parametrize(
    ("site", "found"),
    [
        (_site(), []),
        (_site(state="online", report_age_s=1600.0), []),
        (
            _site(state="offline", report_age_s=16.0, reason="it was stopped"),
            [(Subject("site_silent", "a"), Evidence(16.0, detail="it was stopped"))],
        ),
        (_site(state="offline"), []),
        (_site(clock="a: 50 min behind", clock_offset_s=-3000.0), [(Subject("clock", "a"), Evidence(-3000.0))]),
        (_site(clock="our own"), []),
        (_site(state="online", failed_authentication={"203.0.113.9": 5}), []),
        (_site(state="offline", failed_authentication={"192.0.2.1": 5}), []),
        (
            _site(state="online", failed_authentication={"203.0.113.9": 5, "192.0.2.1": 12}),
            [
                (
                    Subject("authentication", "a"),
                    Evidence(12, detail="12 probes from a (192.0.2.1) failed authentication"),
                )
            ],
        ),
    ],
)
def test_sites_that_are_silent_or_whose_clock_or_key_is_wrong(
    site: SiteAnswer, found: list[tuple[Subject, Evidence]]
) -> None:
    assert list(site_conditions([site])) == found


def test_a_subject_concerns_the_sites_that_it_names() -> None:
    assert Subject("link_down", "a", "b").sites == ("a", "b")
    assert Subject("sink", name="influx").sites == ()
