"""Which requests a reflector has answered already."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probes.latency.reflector_guard import WINDOW, Replays

TOP = 2**32 - 1


def accepted(*sequences: int, first: int = 100) -> list[bool]:
    """Each after the first, all with the same old timestamp."""
    replays = Replays(first, 50)
    return [replays.accept(sequence, 50) for sequence in sequences]


def test_each_sequence_is_answered_once_in_any_order() -> None:
    assert accepted(100, 103, 101, 101, 103, 102, 104) == [False, True, True, False, False, True, True]


def test_what_is_behind_the_window_is_a_replay() -> None:
    assert accepted(100 + WINDOW, 100, 101, 101) == [True, False, True, False]
    assert accepted(100 + 3 * WINDOW, 100 + WINDOW) == [True, False]


def test_the_sequence_wraps() -> None:
    assert accepted(TOP, 0, 1, TOP, TOP - 1, first=TOP - 2) == [True, True, True, False, True]


def test_a_sender_that_starts_anew_is_known_by_its_later_timestamp() -> None:
    replays = Replays(5000, 50)
    assert not replays.accept(1, 50)
    assert replays.accept(1, 60)
    assert not replays.accept(1, 60)
    assert replays.accept(2, 61)
    # What was sent before the restart is ahead in sequence only: it is old, but the window cannot say so.
    assert not replays.accept(1, 60)


def test_timestamps_wrap_as_the_era_of_ntp_does() -> None:
    replays = Replays(5000, 2**64 - 5)
    assert replays.accept(1, 3)
    assert not replays.accept(1, 2**64 - 4)


@given(st.lists(st.integers(-2000, 2000), max_size=50), st.integers(0, 2**32 - 1))
def test_no_sequence_is_ever_accepted_twice(offsets: list[int], first: int) -> None:
    """Wherever the wire's numbers stand, also around their wrap; half the circle on is another sender's future."""
    replays = Replays(first, 0)
    seen = {first}
    for offset in offsets:
        sequence = (first + offset) % 2**32
        if replays.accept(sequence, 0):
            assert sequence not in seen
            seen.add(sequence)
