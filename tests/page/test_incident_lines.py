"""What is wrong, in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from linkweather.models.incidents import FindingAnswer
from page.incident_lines import closed_today, headline, incidents, line
from page.mesh_picture import MeshPicture
from page.words import words
from tests.page.pictures import ENGLISH, MARKED, NOON, incident, link, picture, site, wrong

LATER = NOON + timedelta(minutes=3)


def test_before_the_first_answer_the_headline_says_so() -> None:
    assert headline(MeshPicture(), ENGLISH) == "The collector has not answered yet."


def test_a_mesh_without_sites_or_without_reports_says_so() -> None:
    assert headline(MeshPicture().with_sites([], 1.0), ENGLISH) == "The mesh has no sites."
    silent = MeshPicture().with_sites([site("a", state="unknown")], 1.0)
    assert headline(silent, ENGLISH) == "No site has reported yet."


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["fresh", "fresh"], "All is well: 2 links."),
        (["fresh"], "All is well: 1 link."),
        (["fresh", "unknown"], "1 of 2 links are measured so far, and well."),
        (["down", "stale"], "No incident, but 1 link is down."),
        (["degraded", "expired", "degraded"], "No incident, but 2 links are degraded."),
        (["stale", "unknown"], "No incident, but 1 link is stale."),
    ],
)
def test_without_incidents_the_states_of_the_links_are_said(states: list[str], said: str) -> None:
    links = [link("a", f"s{number}", state) for number, state in enumerate(states)]
    assert headline(picture().with_links(links, 1.0), ENGLISH) == said


def test_the_headline_counts_what_lasts_and_says_since_when() -> None:
    over = incident(until=LATER)
    explained = incident(merged_into="1")
    view = wrong(incident(since=LATER), incident(), over, explained)
    assert headline(view, ENGLISH) == "2 things are wrong since 12:00:00 UTC."
    tomorrow = view.with_sites(view.sites.values(), NOON.timestamp() + 86400.0)
    assert headline(tomorrow, ENGLISH) == "2 things are wrong since 2026-11-01 12:00:00 UTC."
    assert closed_today(view) == 1
    assert explained not in incidents(view)
    assert headline(wrong(over), ENGLISH) == "No incident, but 1 link is down."


def test_in_its_own_language_the_api_s_sentence_is_said() -> None:
    said = line(incident(routes=("traffic a → b goes through c",)), ENGLISH)
    assert said.sentence == "a → b loses 12.0 %."
    assert said.routes == ("traffic a → b goes through c",)
    assert (said.severity, said.address, said.lasts) == ("warning", "/link/a/b", True)


def test_on_the_first_screen_the_date_of_today_is_left_out() -> None:
    one = incident(sentence="a → b loses 12.0 %, since 2026-11-01 12:00:00 UTC")
    assert line(one, ENGLISH, NOON.timestamp()).sentence == "a → b loses 12.0 %, since 12:00:00 UTC."
    assert line(one, ENGLISH, NOON.timestamp() + 86400.0).sentence.endswith("since 2026-11-01 12:00:00 UTC.")


def test_in_another_language_the_same_is_said() -> None:
    said = line(incident(routes=("traffic a → b goes through c, d", "something new")), MARKED)
    assert said.sentence == "[[a → b loses 12.0 %][ (normally 0.0 %)][, since 2026-11-01 12:00:00 UTC].]"
    assert said.routes == ("[traffic a → b goes through c, d]", "something new")


@pytest.mark.parametrize(("acknowledged", "said"), [("1", "acknowledged"), (None, "silenced")])
def test_what_people_are_not_told_of_says_until_when_and_why(acknowledged: str | None, said: str) -> None:
    silence = {"id": "s", "at": NOON, "until": LATER, "reason": "the fibre is mended", "incident": acknowledged}
    assert line(incident(silence=silence), ENGLISH).quiet == (
        f"{said} until 2026-11-01 12:03:00 UTC: the fibre is mended"
    )


def test_in_chinese() -> None:
    said = line(incident(), words("zh"))
    assert said.sentence == "a → b 丢包 12.0 %（平时 0.0 %），自 2026-11-01 12:00:00 UTC 起。"


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        ({"kind": "site_unreachable", "src": "a"}, "[a cannot be reached from any other site]"),
        ({"kind": "site_silent", "src": "a", "value": 40.0}, "[a is silent: its last report is 40 s old]"),
        ({"kind": "link_down", "src": "a", "dst": "b"}, "[a → b is down]"),
        ({"kind": "latency", "src": "a", "dst": "b", "value": 0.04}, "[a → b takes 40.0 ms]"),
        ({"kind": "jitter", "src": "a", "dst": "b", "value": 0.004}, "[a → b has a jitter of 4.00 ms]"),
        ({"kind": "goodput", "src": "a", "dst": "b", "value": 1e8}, "[a → b carries 100 Mbit/s]"),
        ({"kind": "clock", "src": "a", "value": -40.0}, "[a has a clock that is 40 s off]"),
        (
            {"kind": "authentication", "src": "a", "detail": "12 probes from b (h) failed authentication"},
            "[a has another key than who probes it: 12 probes from b (h) failed authentication]",
        ),
        ({"kind": "clock", "src": "a"}, "[a has a clock that is 0 s off]"),
        ({"kind": "sink", "name": "x", "detail": "away"}, "[the sink x writes nothing, or not all: away]"),
        ({"kind": "collector", "name": "disk", "detail": "full"}, "[disk fails: full]"),
    ],
)
def test_each_kind_of_finding_is_said(finding: dict[str, Any], said: str) -> None:
    found = FindingAnswer.model_validate({"since": NOON, **finding})
    one = incident(finding["kind"], findings=(found,), subjects=("a",))
    assert line(one, MARKED).sentence == f"[{said}[, since 2026-11-01 12:00:00 UTC].]"


def test_what_is_over_has_an_end_and_further_findings_are_counted() -> None:
    one = incident(until=LATER, omitted_findings=2)
    spans = "[, from 2026-11-01 12:00:00 UTC to 2026-11-01 12:03:00 UTC]"
    assert line(one, MARKED).sentence == (f"[[a → b loses 12.0 %][ (normally 0.0 %)][; 2 further findings]{spans}.]")
    assert not line(one, MARKED).lasts


def test_an_incident_without_a_finding_of_its_kind_keeps_the_api_s_sentence() -> None:
    assert line(incident(findings=()), MARKED).sentence == "[a → b loses 12.0 %.]"


def test_an_incident_leads_to_its_link_its_site_or_nowhere() -> None:
    one = FindingAnswer(kind="site_silent", src="a", since=NOON)
    assert line(incident("site_silent", findings=(one,), subjects=("a",)), ENGLISH).address == "/site/a"
    sink = FindingAnswer(kind="sink", name="x", since=NOON)
    assert line(incident("sink", findings=(sink,), subjects=("x", "y")), ENGLISH).address == ""
