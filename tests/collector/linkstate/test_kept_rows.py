"""What is kept of links' rows, beside a list of rows a link: any rows, of any boots, in any order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.linkstate.kept_rows import LOSS_ROWS_MAX, NewestRows, RecentRows
from collector.linkstate.report_moments import Moments, ReportMoment, boot_number, in_turn
from collector.settings import StateSettings

LINKS = 3


class Sample(NamedTuple):
    """A row of a link; losses of unknown direction are -1."""

    link: int
    moment: ReportMoment
    sent: int
    received: int
    lost_forward: int
    lost_back: int
    good: bool


moments = st.builds(ReportMoment, st.integers(0, 50).map(float), st.sampled_from("xyz"), st.integers(0, 30))
samples = st.builds(
    Sample,
    st.integers(0, LINKS - 1),
    moments,
    st.sampled_from([0, 1, 7, 50]),
    st.integers(0, 50),
    st.integers(-1, 5),
    st.integers(-1, 5),
    st.booleans(),
)
some_settings = st.builds(
    StateSettings, loss_probes=st.sampled_from([1, 60, 100]), recover_after_rows=st.integers(1, 4)
)


def insert(window: list[Sample], sample: Sample, settings: StateSettings) -> None:
    """Keep the newest rows, as many as hold `loss_probes` probes and decide a recovery."""
    place = len(window)
    while place and not sample.moment.follows(window[place - 1].moment):
        place -= 1
    window.insert(place, sample)
    probes = 0
    for count, one in enumerate(reversed(window), start=1):
        probes += one.sent
        enough = probes >= settings.loss_probes and count >= settings.recover_after_rows
        if enough or count >= LOSS_ROWS_MAX:
            del window[:-count]
            return


def columns(rows: list[Sample]) -> dict[str, np.ndarray]:
    return {name: np.array([getattr(row, name) for row in rows], float) for name in Sample._fields[2:]}


def moments_of(rows: list[Sample]) -> Moments:
    parts = [(row.moment.at, boot_number(row.moment.boot), row.moment.seq) for row in rows]
    return Moments(*np.array(parts, float).reshape(-1, 3).T)


def links_of(rows: list[Sample]) -> np.ndarray:
    return np.array([row.link for row in rows], int)


@given(st.lists(st.lists(samples, max_size=4), max_size=40), some_settings)
def test_windows_and_newest_rows_are_those_of_lists(reports: list[list[Sample]], settings: StateSettings) -> None:
    recent, newest = RecentRows(LINKS, settings), NewestRows(LINKS, ["sent"])
    windows: list[list[Sample]] = [[] for _ in range(LINKS)]
    last: list[Sample | None] = [None] * LINKS
    for report in reports:
        for places in in_turn(links_of(report)):
            turn = [report[place] for place in np.arange(len(report))[places].tolist()]
            at_end = recent.observe(links_of(turn), moments_of(turn), columns(turn))
            newest.observe(links_of(turn), moments_of(turn), columns(turn))
            for sample, newer in zip(turn, at_end.tolist(), strict=True):
                insert(windows[sample.link], sample, settings)
                assert newer == (windows[sample.link][-1] is sample)
        for sample in report:
            before = last[sample.link]
            last[sample.link] = sample if before is None or sample.moment.follows(before.moment) else before
    assert newest.at.tolist() == [sample.moment.at if sample else -np.inf for sample in last]
    assert [sample.sent for sample in last if sample] == newest.columns["sent"][np.isfinite(newest.at)].tolist()
    assert_windows(recent, windows, settings)


def assert_windows(recent: RecentRows, windows: list[list[Sample]], settings: StateSettings) -> None:
    assert recent.sizes.tolist() == [len(window) for window in windows]
    assert recent.at.tolist() == [window[-1].moment.at if window else -np.inf for window in windows]
    for number, window in enumerate(windows):
        directed = [row for row in window if row.lost_forward >= 0 and row.lost_back >= 0]
        assert recent.sums[:, number].tolist() == [
            sum(row.sent for row in window),
            sum(row.received for row in window),
            sum(row.sent for row in directed),
            sum(row.lost_forward for row in directed),
            sum(row.lost_back for row in directed),
        ]
        assert not window or recent.up[number] == all(row.good for row in window[-settings.recover_after_rows :])


@given(st.lists(st.integers(0, 4), max_size=30))
def test_turns_hold_each_link_once_and_keep_the_order_of_each_link_s_rows(links: list[int]) -> None:
    turns = [np.arange(len(links))[places].tolist() for places in in_turn(np.array(links, int))]
    assert sorted(place for turn in turns for place in turn) == list(range(len(links)))
    for link in set(links):
        places = [place for turn in turns for place in turn if links[place] == link]
        assert places == sorted(places)
    assert all(len({links[place] for place in turn}) == len(turn) for turn in turns)
