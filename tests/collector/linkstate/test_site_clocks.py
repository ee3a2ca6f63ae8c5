"""Whose clock is off, by how much, and what is said of it. Reports come every 5 s and take half a second."""

from __future__ import annotations

import pytest

from collector.linkstate.site_clocks import SiteClocks
from linkweather.mesh import Mesh
from linkweather.models.state import LinkAnswer
from linkweather.wire import Status

MESH = Mesh.model_validate({"sites": {site: {"address": f"192.0.2.{n}"} for n, site in enumerate("abcd", 1)}})
WAY_S = 0.5


def clocks() -> SiteClocks:
    return SiteClocks(MESH)


def report(found: SiteClocks, site: str, arrivals: range, *, ahead_s: float = 0.0, waited_s: float = WAY_S) -> None:
    for arrival in arrivals:
        found.reported(site, arrival - waited_s + ahead_s, arrival)


def waiting(found: SiteClocks, site: str, reports: int) -> None:
    found.status(site, Status(state="online", outbox_reports=reports))


def offset(found: SiteClocks, now: float, site: str = "a") -> float | None:
    return found.findings(now).offsets_s.get(site)


def test_a_clock_that_agrees_is_off_by_the_way_of_its_reports_and_nothing_is_said() -> None:
    found = clocks()
    report(found, "a", range(1000, 1060, 5))
    assert offset(found, 1060) == -0.5
    assert (found.findings(1060).sentence("a"), found.news(1060)) == (None, [])


def test_nothing_is_known_of_a_site_that_is_silent() -> None:
    found = clocks()
    assert offset(found, 1000) is None
    report(found, "a", range(1000, 1060, 5))
    assert (offset(found, 1955), offset(found, 1956)) == (-0.5, None)


def test_a_clock_that_is_ahead_is_named_with_its_first_report_also_from_an_outbox() -> None:
    found = clocks()
    waiting(found, "a", 5000)
    report(found, "a", range(1000, 1001), ahead_s=7200)
    assert offset(found, 1000) == 7199.5
    assert (
        found.findings(1000).sentence("a")
        == "the clock of site a is 2 h ahead of the collector's: synchronise it, by NTP say"
    )


def test_a_clock_that_is_behind_is_named_once_reports_without_waiting_say_so_for_a_while() -> None:
    found = clocks()
    report(found, "a", range(1000, 1010, 5), ahead_s=-3000)
    assert offset(found, 1005) is None
    report(found, "a", range(1010, 1015, 5), ahead_s=-3000)
    assert offset(found, 1010) == -3000.5
    assert (
        found.findings(1010).sentence("a")
        == "the clock of site a is 50 min behind the collector's: synchronise it, by NTP say"
    )


def test_a_backlog_is_no_clock() -> None:
    found = clocks()
    waiting(found, "a", 720)
    report(found, "a", range(1000, 1100), waited_s=3600)
    assert offset(found, 1100) is None
    # What was in flight when the status was published still arrives, and a report just made among it.
    waiting(found, "a", 3)
    report(found, "a", range(1100, 1102), waited_s=30)
    report(found, "a", range(1102, 1120, 5))
    assert offset(found, 1120) == -0.5


def test_a_backlog_that_a_status_tells_of_is_forgotten_as_a_sample() -> None:
    found = clocks()
    report(found, "a", range(1000, 1020, 5), waited_s=3600)
    waiting(found, "a", 65)
    assert offset(found, 1020) is None


def test_the_will_says_nothing_of_waiting() -> None:
    found = clocks()
    waiting(found, "a", 65)
    found.status("a", Status(state="offline"))
    report(found, "a", range(1000, 1020, 5), waited_s=3600)
    assert offset(found, 1020) is None


@pytest.mark.parametrize(("every_s", "reports"), [(5, 13), (60, 3)])
def test_a_corrected_clock_is_known_after_a_minute_or_three_reports(every_s: int, reports: int) -> None:
    found = clocks()
    report(found, "a", range(1000, 2000, every_s), ahead_s=3000)
    after = range(2000, 2000 + reports * every_s, every_s)
    report(found, "a", after[:-1])
    assert offset(found, after[-1]) == 2999.5
    report(found, "a", after[-1:])
    assert offset(found, after[-1]) == -0.5


def test_a_change_is_said_once_and_so_is_its_end() -> None:
    found, news = clocks(), []
    for start, ahead_s in ((1000, 0), (1200, 3000), (1400, 3100), (1600, 4000), (1800, 10), (2000, 0)):
        report(found, "a", range(start, start + 200, 5), ahead_s=ahead_s)
        news += [(start, sentence) for sentence in found.news(start + 200) + found.news(start + 200)]
    assert news == [
        (1200, "the clock of site a is 50 min ahead of the collector's: synchronise it, by NTP say"),
        (1600, "the clock of site a is 67 min ahead of the collector's: synchronise it, by NTP say"),
        (2000, "the clock of site a agrees with the collector's again"),
    ]


def test_of_a_site_that_falls_silent_or_leaves_nothing_more_is_said() -> None:
    found = clocks()
    report(found, "a", range(1000, 1060, 5), ahead_s=3000)
    assert len(found.news(1060)) == 1
    assert found.news(3000) == []
    report(found, "a", range(3000, 3060, 5), ahead_s=3000)
    assert found.news(3060) == []
    found.apply_mesh(Mesh.model_validate({"sites": {"b": {"address": "192.0.2.2"}}}))
    assert (found.news(3060), offset(found, 3060)) == ([], None)
    report(found, "a", range(3060, 3070))
    found.status("a", Status(state="online"))
    assert offset(found, 3070) is None


@pytest.mark.parametrize(("ahead_s", "direction"), [(7200, "behind"), (-7200, "ahead of")])
def test_where_most_sites_are_off_it_is_our_own_clock(ahead_s: float, direction: str) -> None:
    found = clocks()
    for site in "abc":
        report(found, site, range(1000, 1060, 5), ahead_s=ahead_s)
    report(found, "d", range(1000, 1060, 5))
    ours = f"the collector's clock is 2 h {direction} those of 3 of 4 sites: synchronise it, by NTP say"
    theirs = f"the clock of site d is 2 h {direction} the collector's: synchronise it, by NTP say"
    findings = found.findings(1060)
    assert (findings.ours, findings.sentence("a"), findings.sentence("d")) == (ours, ours, theirs)
    assert found.news(1060) == [ours, theirs]
    for site in "abc":
        report(found, site, range(1060, 1200, 5))
    assert sorted(found.news(1200)) == [
        "the clock of site d agrees with the collector's again",
        "the collector's clock agrees with those of most sites again",
    ]


def test_a_site_that_was_blamed_for_our_clock_is_not_said_to_agree_when_another_shows_whose_it_is() -> None:
    found, ours = clocks(), "the collector's clock is 2 h behind those of 2 of 2 sites: synchronise it, by NTP say"
    report(found, "a", range(1000, 1060, 5), ahead_s=7200)
    assert found.news(1060) == ["the clock of site a is 2 h ahead of the collector's: synchronise it, by NTP say"]
    report(found, "b", range(1000, 1060, 5), ahead_s=7200)
    assert found.news(1060) == [ours]
    for site in "ab":
        report(found, site, range(1060, 1200, 5))
    assert found.news(1200) == ["the collector's clock agrees with those of most sites again"]


def test_sites_that_fall_silent_do_not_put_our_clock_right() -> None:
    found = clocks()
    for site in "ab":
        report(found, site, range(1000, 1060, 5), ahead_s=7200)
    assert len(found.news(1060)) == 1
    assert found.news(9000) == []


@pytest.mark.parametrize("off", ["a", "ab"])
def test_one_site_or_half_of_them_do_not_outvote_us(off: str) -> None:
    found = clocks()
    for site in "abcd":
        report(found, site, range(1000, 1060, 5), ahead_s=3000 * (site in off))
    assert found.findings(1060).ours is None
    assert set(found.findings(1060).wrong_s) == set(off)


def test_a_link_has_the_clock_of_its_ends_as_the_reason() -> None:
    links = [LinkAnswer(src=src, dst=dst) for src, dst in ("ab", "ba", "bc")]
    found = clocks()
    report(found, "a", range(1000, 1060, 5))
    report(found, "b", range(1000, 1060, 5))
    assert found.findings(1060).explained(links) == links
    report(found, "a", range(1060, 1061), ahead_s=3000)
    sentence = "the clock of site a is 50 min ahead of the collector's: synchronise it, by NTP say"
    assert [link.reason for link in found.findings(1060).explained(links)] == [sentence, sentence, None]
    assert found.findings(1060).sentences == {"a": sentence}
    report(found, "b", range(1060, 1061), ahead_s=3000)
    ours = "the collector's clock is 50 min behind those of 2 of 2 sites: synchronise it, by NTP say"
    assert [link.reason for link in found.findings(1060).explained(links)] == [ours, ours, ours]
