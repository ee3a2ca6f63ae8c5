"""Losses by direction, from a stateful reflector's count."""

from __future__ import annotations

from probes.latency.losses import Edge, Losses, Probed, by_direction


def answered(sequence: int, reflected: int) -> Probed:
    return Probed(sequence, reflected, reflected)


def missing(*sequences: int) -> list[Probed]:
    return [Probed(sequence, None, None) for sequence in sequences]


def test_replies_that_were_sent_and_not_seen_were_lost_back() -> None:
    # Four missing between 1 and 6; the reflector went from 0 to 3, so it sent two replies for them.
    losses, edge = by_direction([answered(1, 0), *missing(2, 3, 4, 5), answered(6, 3)], None, None)
    assert losses == Losses(forward=2, back=2, unknown=0)
    assert edge == Edge(6, 3)


def test_without_an_advance_all_were_lost_forward() -> None:
    assert by_direction([answered(1, 0), *missing(2, 3), answered(4, 1)], None, None)[0] == Losses(2, 0, 0)


def test_a_gap_goes_on_from_the_window_before_and_into_the_next() -> None:
    losses, edge = by_direction([answered(1, 0), *missing(2, 3)], None, answered(6, 3))
    assert losses == Losses(0, 2, 0)  # the first two of the gap's four count as lost back
    assert by_direction([*missing(4, 5), answered(6, 3)], edge, None)[0] == Losses(2, 0, 0)


def test_without_a_later_reply_the_direction_is_unknown() -> None:
    losses, edge = by_direction([answered(1, 0), *missing(2)], None, None)
    assert losses == Losses(0, 0, 1)
    assert edge == Edge(1, 0, untold=True)
    # The gap's rest: all forward is certain, a mixture is not.
    assert by_direction([*missing(3), answered(4, 1)], edge, None)[0] == Losses(1, 0, 0)
    assert by_direction([*missing(3), answered(4, 2)], edge, None)[0] == Losses(0, 0, 1)


def test_before_the_first_reply_the_direction_is_unknown() -> None:
    assert by_direction([*missing(1, 2), answered(3, 0)], None, None)[0] == Losses(0, 0, 2)
    assert by_direction(missing(1), None, None) == (Losses(0, 0, 1), None)


def test_a_restarted_reflector_tells_nothing() -> None:
    assert by_direction([answered(11, 10), *missing(12), answered(13, 0)], None, None)[0] == Losses(0, 0, 1)


def test_more_replies_than_missing_probes_tell_nothing() -> None:
    assert by_direction([answered(1, 0), *missing(2), answered(3, 5)], None, None)[0] == Losses(0, 0, 1)


def test_a_stateless_reflector_tells_nothing() -> None:
    assert by_direction([answered(1, 1), *missing(2), answered(3, 3)], None, None)[0] == Losses(0, 0, 1)


def test_a_duplicated_request_took_a_count_of_its_own() -> None:
    twice = Probed(1, 0, 1)
    assert by_direction([twice, *missing(2), answered(3, 2)], None, None)[0] == Losses(1, 0, 0)


def test_both_counts_wrap() -> None:
    top = 2**32 - 1
    assert by_direction([answered(top, top - 1), *missing(top + 1), answered(top + 2, 0)], None, None)[0] == (0, 1, 0)


def test_a_window_without_probes_changes_nothing() -> None:
    assert by_direction([], Edge(1, 0), None) == (Losses(0, 0, 0), Edge(1, 0))
