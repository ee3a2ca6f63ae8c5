"""Incidents from their start to their end: held, never flapping, and entered under what explains them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from collector.incidents.causes import Cause, causes
from collector.incidents.conditions import Evidence, Subject
from collector.incidents.incident_book import HeldConditions, Incident, IncidentBook, worse
from collector.incidents.incident_words import MOST_FINDINGS, answer, restored, sentence, summary
from collector.settings import IncidentSettings

SETTINGS = IncidentSettings(open_after_s=5.0, close_after_s=60.0)
DOWN = Subject("link_down", "a", "b")
BACK = Subject("link_down", "b", "a")
PEERS = 5
NO_EVIDENCE = Evidence()


def _book() -> IncidentBook:
    numbers = itertools.count(1)
    return IncidentBook(SETTINGS, lambda _now: f"i{next(numbers)}")


def _look(book: IncidentBook, now: float, *subjects: Subject, evidence: Evidence = NO_EVIDENCE) -> list[Incident]:
    return book.look(dict.fromkeys(subjects, evidence), PEERS, now)


def _down(*pairs: str) -> list[Subject]:
    return [Subject("link_down", pair[0], pair[1]) for pair in pairs]


def test_a_condition_opens_an_incident_once_it_has_lasted() -> None:
    book = _book()
    assert _look(book, 0.0, DOWN) == []
    assert _look(book, 4.9, DOWN) == []
    (found,) = _look(book, 5.0, DOWN)
    assert (found.id, found.kind, found.severity, found.since, found.until) == (
        "i1",
        "link_down",
        "critical",
        0.0,
        None,
    )
    assert _look(book, 6.0, DOWN) == []
    assert book.open == [found] or book.open[0].id == found.id


def test_a_condition_that_comes_and_goes_opens_none() -> None:
    book = _book()
    for now in range(0, 100, 4):
        assert _look(book, now, DOWN) == []
        assert _look(book, now + 2) == []


def test_loss_must_last_three_times_as_long_and_goodput_counts_at_once() -> None:
    book = _book()
    loss, goodput = Subject("loss", "a", "b"), Subject("goodput", "c", "d")
    assert [one.kind for one in _look(book, 0.0, loss, goodput)] == ["goodput"]
    assert _look(book, 14.0, loss, goodput) == []
    assert [one.kind for one in _look(book, 15.0, loss, goodput)] == ["loss"]


def test_an_incident_ends_when_its_condition_was_over_for_a_while() -> None:
    book = _book()
    _look(book, 0.0, DOWN)
    _look(book, 5.0, DOWN)
    assert _look(book, 64.9) == []
    (ended,) = _look(book, 65.0)
    assert (ended.until, ended.merged_into, ended.now) == (5.0, None, frozenset())
    assert book.open == []


def test_a_condition_that_returns_in_time_is_the_same_incident() -> None:
    book = _book()
    for now in (0.0, 5.0, 40.0, 80.0):
        _look(book, now, DOWN)
    assert [one.id for one in book.open] == ["i1"]


def test_both_directions_of_a_link_are_one_incident() -> None:
    book = _book()
    _look(book, 0.0, DOWN, BACK)
    (found,) = _look(book, 5.0, DOWN, BACK)
    assert found.now == {DOWN, BACK}
    assert str(found.cause) == "a – b"


def test_a_direction_that_follows_joins_and_is_news() -> None:
    book = _book()
    _look(book, 0.0, DOWN)
    _look(book, 5.0, DOWN, BACK)
    (found,) = _look(book, 10.0, DOWN, BACK)
    assert (found.id, set(found.now)) == ("i1", {DOWN, BACK})


def test_a_site_that_is_gone_explains_its_links() -> None:
    book = _book()
    links = _down("ab", "cb", "bd")
    _look(book, 0.0, *links)
    _look(book, 5.0, *links)
    before = {one.id for one in book.open}
    silent = Subject("site_silent", "b")
    _look(book, 6.0, *links, silent)
    changed = _look(book, 11.0, *links, silent)
    (site,) = book.open
    assert site.cause == Cause(2, ("b",))
    assert site.kind == "site_silent"
    assert site.now == {*links, silent}
    assert {one.id for one in changed if one.merged_into == site.id} == before


def test_a_condition_stays_in_its_incident_when_the_site_is_back() -> None:
    book = _book()
    silent = Subject("site_silent", "b")
    _look(book, 0.0, DOWN, silent)
    _look(book, 5.0, DOWN, silent)
    for now in range(10, 100, 10):
        _look(book, now, DOWN)
    (site,) = book.open
    assert site.now == {DOWN}


def test_many_bad_links_of_one_site_are_its_incident() -> None:
    found = causes(_down("ab", "cb", "bd", "ef"), PEERS)
    assert {found[one] for one in _down("ab", "cb", "bd")} == {Cause(1, ("b",))}
    assert found[Subject("link_down", "e", "f")] == Cause(0, ("e", "f"))


@pytest.mark.parametrize(("peers", "width"), [(5, 1), (6, 0)])
def test_many_is_more_than_half_of_its_peers(peers: int, width: int) -> None:
    assert {cause.width for cause in causes(_down("ab", "cb", "bd"), peers).values()} == {width}


def test_two_directions_count_as_one_link() -> None:
    assert {cause.width for cause in causes(_down("ab", "ba", "cb", "bc"), PEERS).values()} == {0}


def test_a_clock_and_a_sink_stand_alone() -> None:
    clock, sink = Subject("clock", "a"), Subject("sink", name="influx")
    found = causes([clock, sink, DOWN], PEERS)
    assert (str(found[clock]), str(found[sink])) == ("clock a", "sink influx")


def test_much_worse_is_news_and_a_little_is_not() -> None:
    book, loss = _book(), Subject("loss", "a", "b")
    _look(book, 0.0, loss, evidence=Evidence(0.05, 0.0))
    _look(book, 20.0, loss, evidence=Evidence(0.05, 0.0))
    assert _look(book, 22.0, loss, evidence=Evidence(0.06, 0.0)) == []
    assert _look(book, 24.0, loss, evidence=Evidence(0.03, 0.0)) == []
    (found,) = _look(book, 26.0, loss, evidence=Evidence(0.20, 0.0))
    assert found.conditions[loss].evidence.value == 0.20


def test_the_worse_of_two_figures() -> None:
    assert worse("loss", Evidence(0.1, 0.0), Evidence(0.2, 0.1)) == Evidence(0.2, 0.0)
    assert worse("goodput", Evidence(1e9, 2e9), Evidence(1e8, 2e9)) == Evidence(1e8, 2e9)
    assert worse("clock", Evidence(-300.0), Evidence(20.0)) == Evidence(-300.0)
    assert worse("sink", Evidence(detail="one"), Evidence(detail="two")) == Evidence(detail="two")
    assert worse("loss", Evidence(0.1), Evidence()) == Evidence(0.1)


def test_a_restart_goes_on_with_the_same_incident() -> None:
    book = _book()
    _look(book, 0.0, DOWN)
    _look(book, 5.0, DOWN, BACK)
    _look(book, 10.0, DOWN)
    after = IncidentBook(SETTINGS, lambda _now: "new")
    after.restore(restored(answer(one), 20.0) for one in book.open)
    assert [one.id for one in after.open] == ["i1"]
    assert after.look({DOWN: Evidence()}, PEERS, 30.0) == []
    (ended,) = after.look({}, PEERS, 90.0)
    assert (ended.id, ended.until) == ("i1", 30.0)


@pytest.mark.parametrize(
    "subjects",
    [
        [DOWN, BACK],
        _down("ab", "cb", "bd"),
        [Subject("site_unreachable", "b"), *_down("ab", "cb")],
        [Subject("clock", "a")],
        [Subject("collector", name="the journal")],
    ],
)
def test_a_recorded_incident_is_read_back_with_its_cause(subjects: list[Subject]) -> None:
    book = _book()
    for now in (0.0, 40.0):
        _look(book, now, *subjects)
    (before,) = book.open
    after = restored(answer(before), 40.0)
    assert (after.cause, after.now, after.since) == (before.cause, before.now, before.since)


def test_nothing_held_is_forgotten_when_it_is_over() -> None:
    held = HeldConditions(SETTINGS)
    held.look({DOWN: Evidence()}, 0.0)
    held.look({}, 1.0)
    held.look({DOWN: Evidence()}, 6.0)
    assert held.held == []


def _one(subject: Subject, figure: Evidence, others: Iterable[Subject] = ()) -> Incident:
    book = _book()
    found = {subject: figure, **dict.fromkeys(others, Evidence())}
    book.look(found, PEERS, 1_700_000_000.0)
    book.look(found, PEERS, 1_700_000_100.0)
    (incident,) = book.open
    return incident


@pytest.mark.parametrize(
    ("subject", "figure", "words"),
    [
        (DOWN, Evidence(), "a → b is down"),
        (Subject("loss", "a", "b"), Evidence(0.12, 0.0), "a → b loses 12.0 % (normally 0.0 %)"),
        (Subject("latency", "a", "b"), Evidence(0.085, 0.0267), "a → b takes 85.0 ms (normally 26.7 ms)"),
        (Subject("goodput", "a", "b"), Evidence(79e6, 940e6), "a → b carries 79.0 Mbit/s (normally 940 Mbit/s)"),
        (Subject("loss", "a", "b"), Evidence(0.12), "a → b loses 12.0 %"),
        (Subject("clock", "a"), Evidence(-3000.0), "a has a clock that is 50 min behind"),
        (Subject("clock", "a"), Evidence(90.0), "a has a clock that is 90 s ahead"),
        (Subject("site_silent", "a"), Evidence(16.0), "a is silent: its last report is 16 s old"),
        (Subject("site_unreachable", "a"), Evidence(), "a cannot be reached from any other site"),
        (
            Subject("sink", name="influx"),
            Evidence(detail="no route"),
            "the sink influx writes nothing, or not all: no route",
        ),
        (Subject("collector", name="the journal"), Evidence(detail="full"), "the journal fails: full"),
    ],
)
def test_each_kind_in_a_sentence(subject: Subject, figure: Evidence, words: str) -> None:
    assert sentence(_one(subject, figure)) == f"{words} (since 2023-11-14 22:13:20 UTC)"


def test_a_sentence_counts_what_has_the_same_cause() -> None:
    silent = Subject("site_silent", "b")
    found = sentence(_one(silent, Evidence(100.0), _down("ab", "cb")))
    assert found == (
        "b is silent: its last report is 100 s old; 2 further findings with the same cause "
        "(since 2023-11-14 22:13:20 UTC)"
    )


def test_an_incident_that_is_over_says_how_long_it_was() -> None:
    book = _book()
    _look(book, 1_700_000_000.0, DOWN)
    _look(book, 1_700_000_090.0, DOWN)
    (ended,) = _look(book, 1_700_000_200.0)
    assert sentence(ended) == "a → b is down (2023-11-14 22:13:20 to 22:14:50 UTC, 90.0 s)"
    assert answer(ended).findings[0].until is not None


def test_an_answer_has_so_many_findings_and_counts_the_others() -> None:
    sites = [f"s{number}" for number in range(MOST_FINDINGS + 10)]
    silent = Subject("site_silent", "b")
    found = answer(_one(silent, Evidence(100.0), [Subject("link_down", site, "b") for site in sites]), ["one", "two"])
    assert len(found.findings) == MOST_FINDINGS
    assert found.omitted_findings == 11
    assert found.routes == ("one", "two")


def test_the_summary_says_how_things_are() -> None:
    assert summary([], 56) == "all is well: 56 links"
    one = _one(DOWN, Evidence())
    assert summary([one], 56) == "1 thing is wrong since 2023-11-14 22:13:20 UTC"
    assert summary([one, one], 56) == "2 things are wrong since 2023-11-14 22:13:20 UTC"
