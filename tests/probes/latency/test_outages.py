"""Probes in a row without a reply become outages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from linkweather.wire import Outage
from probes.latency.clocks import UNKNOWN
from probes.latency.pacing import Window
from probes.latency.tally import Outages, SentProbe, Tally

START = datetime(2026, 11, 22, tzinfo=UTC)
START_NS = 1_795_305_600 * 10**9
TALLY = Tally(Window(START, 0.0, 5.0), UNKNOWN)


def probes(answers: str, *, first: int = 0, step_ns: int = 0) -> list[SentProbe]:
    """A probe every 100 ms; `x` is without a reply. `step_ns`: by how much the wall clock was stepped."""
    return [
        SentProbe(number, TALLY, number / 10, START_NS + number * 10**8 + step_ns, 0, awaits_stamp=False)
        if answer == "x"
        else SentProbe(
            number, TALLY, number / 10, START_NS + number * 10**8 + step_ns, 0, awaits_stamp=False, first=number
        )
        for number, answer in enumerate(answers, first)
    ]


def at(tenths: int) -> datetime:
    return START + timedelta(seconds=tenths / 10)


def test_five_in_a_row_are_an_outage_and_four_are_not() -> None:
    found = Outages().follow(probes("..xxxx.xxxxx.x.."))
    assert found == (Outage(start=at(7), end=at(12), lost=5),)


def test_an_outage_that_lasts_is_on_every_row_until_its_end() -> None:
    outages = Outages()
    assert outages.follow(probes("...xxx")) == ()
    assert outages.follow(probes("xxxx", first=6)) == (Outage(start=at(3), lost=7),)
    assert outages.follow([]) == (Outage(start=at(3), lost=7),)
    assert outages.follow(probes("x..", first=10)) == (Outage(start=at(3), end=at(11), lost=8),)
    assert outages.follow(probes("xxxx.", first=13)) == ()


def test_several_outages_of_a_window_are_told_in_their_order() -> None:
    found = Outages().follow(probes("xxxxx.xxxxxx.xxxxx"))
    assert found == (
        Outage(start=at(0), end=at(5), lost=5),
        Outage(start=at(6), end=at(12), lost=6),
        Outage(start=at(13), lost=5),
    )


def test_a_stepped_wall_clock_does_not_change_how_long_it_was() -> None:
    outages = Outages()
    outages.follow(probes("xxxxx"))
    assert outages.follow(probes(".", first=5, step_ns=-3600 * 10**9)) == (Outage(start=at(0), end=at(5), lost=5),)
