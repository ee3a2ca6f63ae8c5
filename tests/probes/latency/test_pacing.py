"""Send times, and windows."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime

from probes.latency.pacing import Pacer, Windows, open_window

AT = datetime(2026, 11, 22, tzinfo=UTC)
AT_NS = 1_795_305_600 * 10**9


def test_phases_are_spread_over_the_interval() -> None:
    pacer: Pacer[str] = Pacer(1.0)
    for peer in "abcdefg":
        pacer.add(peer, 100.0)
    times = []
    for _ in "abcdefg":
        times.append(pacer.next_s)
        assert len(pacer.due(pacer.next_s, 9)) == 1
    assert all(later - earlier > 0.05 for earlier, later in itertools.pairwise(times))
    assert 100 <= times[0] < times[-1] < 101


def test_missed_slots_are_skipped_and_the_phase_kept() -> None:
    pacer: Pacer[str] = Pacer(1.0)
    pacer.add("a", 0.0)
    phase = pacer.next_s
    assert pacer.due(300.0 + phase + 0.25, 9) == ["a"]
    assert pacer.due(300.0 + phase + 0.25, 9) == []
    assert math.isclose(pacer.next_s, 301.0 + phase)


def test_a_removed_peer_is_due_no_more_and_may_return() -> None:
    pacer: Pacer[str] = Pacer(1.0)
    pacer.add("a", 0.0)
    pacer.remove("a")
    pacer.add("a", 0.0)
    assert pacer.due(1.0, 9) == ["a"]
    pacer.remove("a")
    assert pacer.due(9.0, 9) == []
    assert pacer.next_s == math.inf


def test_a_window_ends_at_a_multiple_of_the_interval() -> None:
    window = open_window(50.0, AT_NS - 2 * 10**9, 5.0)
    assert (window.at, window.start_s, window.end_s) == (AT, 50.0, 52.0)


def test_a_short_rest_joins_the_next_window() -> None:
    assert open_window(50.0, AT_NS - 10**8, 5.0).end_s == 55.1


def ends(*moments: tuple[float, float]) -> list[float]:
    """When windows of 5 s end, in seconds after AT, rolled at these moments: monotonic, and wall after AT."""
    windows = Windows()
    for now, wall_s in moments:
        assert windows.roll(now, AT_NS + round(wall_s * 10**9), 5.0) is not None
    return [round((window.at - AT).total_seconds(), 6) for window in windows.settled()]


def test_two_windows_in_a_row_never_share_their_end_though_the_clock_steps_back() -> None:
    assert ends((0.0, 0.0), (5.0, 4.0), (6.0, 5.0)) == [4.0, 5.0]
    assert ends((0.0, 0.0), (5.0, 1.25), (8.75, 5.0)) == [1.25, 5.0]


def test_a_window_in_which_the_clock_went_ahead_ends_when_the_clock_says_so() -> None:
    assert ends((0.0, 0.0), (5.0, 3605.5), (9.5, 3610.0)) == [3605.5, 3610.0]


def test_a_late_tick_and_a_slewed_clock_leave_a_window_its_multiple() -> None:
    assert ends((0.0, 0.0), (5.75, 5.75), (10.003, 9.9999)) == [5.0, 10.0]


def test_a_window_waits_for_its_probes_and_for_those_before_it() -> None:
    windows = Windows()
    first = windows.roll(0.0, AT_NS, 5.0)
    assert first is not None
    first.unsettled = 1
    assert windows.roll(4.9, AT_NS, 5.0) is None
    assert windows.roll(5.0, AT_NS + 5 * 10**9, 5.0) is windows.current
    windows.roll(10.0, AT_NS + 10 * 10**9, 5.0)
    assert list(windows.settled()) == []
    assert windows.unsettled
    first.unsettled = 0
    assert [window.start_s for window in windows.settled()] == [0.0, 5.0]


def test_an_ended_window_opens_no_other() -> None:
    windows = Windows()
    windows.end(0.0, AT_NS)
    windows.roll(0.0, AT_NS, 5.0)
    windows.end(1.0, AT_NS + 10**9)
    assert [(window.at.second, window.end_s) for window in windows.settled()] == [(1, 1.0)]


def test_a_window_that_was_over_keeps_its_end() -> None:
    windows = Windows()
    windows.roll(0.0, AT_NS, 5.0)
    windows.end(7.0, AT_NS + 7 * 10**9)
    assert [window.end_s for window in windows.settled()] == [5.0]
