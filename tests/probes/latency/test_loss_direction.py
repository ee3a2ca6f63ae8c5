"""Losses by direction, from a stateful reflector's count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probes.latency.loss_direction import CountedProbe, LossEdge, Losses, by_direction


def answered(sequence: int, reflected: int) -> CountedProbe:
    return CountedProbe(sequence, reflected, reflected)


def missing(*sequences: int) -> list[CountedProbe]:
    return [CountedProbe(sequence, None, None) for sequence in sequences]


def test_replies_that_were_sent_and_not_seen_were_lost_back() -> None:
    # Four missing between 1 and 6; the reflector went from 0 to 3, so it sent two replies for them.
    losses, edge = by_direction([answered(1, 0), *missing(2, 3, 4, 5), answered(6, 3)], None, None)
    assert losses == Losses(forward=2, back=2, unknown=0)
    assert edge == LossEdge(6, 3)


def test_without_an_advance_all_were_lost_forward() -> None:
    assert by_direction([answered(1, 0), *missing(2, 3), answered(4, 1)], None, None)[0] == Losses(2, 0, 0)


def test_a_gap_goes_on_from_the_window_before_and_into_the_next() -> None:
    losses, edge = by_direction([answered(1, 0), *missing(2, 3)], None, answered(6, 3))
    assert losses == Losses(0, 2, 0)  # the first two of the gap's four count as lost back
    assert by_direction([*missing(4, 5), answered(6, 3)], edge, None)[0] == Losses(2, 0, 0)


def test_without_a_later_reply_the_direction_is_unknown() -> None:
    losses, edge = by_direction([answered(1, 0), *missing(2)], None, None)
    assert losses == Losses(0, 0, 1)
    assert edge == LossEdge(1, 0, uncounted=True)
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
    twice = CountedProbe(1, 0, 1)
    assert by_direction([twice, *missing(2), answered(3, 2)], None, None)[0] == Losses(1, 0, 0)


def test_both_counts_wrap() -> None:
    top = 2**32 - 1
    assert by_direction([answered(top, top - 1), *missing(top + 1), answered(top + 2, 0)], None, None)[0] == (0, 1, 0)


def test_a_window_without_probes_changes_nothing() -> None:
    assert by_direction([], LossEdge(1, 0), None) == (Losses(0, 0, 0), LossEdge(1, 0))


def test_overtaken_requests_are_counted_together() -> None:
    # 4 overtook 2 and 3, of which 3 was lost on its way there; 5's count says that nothing else came.
    probes = [answered(1, 0), answered(2, 2), *missing(3), answered(4, 1), answered(5, 3)]
    assert by_direction(probes, None, None) == (Losses(1, 0, 0), LossEdge(5, 3))
    # The same, with 3 lost on its way back: it took count 2.
    probes = [answered(1, 0), answered(2, 3), *missing(3), answered(4, 1), answered(5, 4)]
    assert by_direction(probes, None, None)[0] == Losses(0, 1, 0)


def test_a_request_that_is_overtaken_by_the_next_windows_first_tells_nothing_for_its_gap() -> None:
    losses, edge = by_direction([answered(1, 0), *missing(2), answered(3, 3)], None, answered(4, 2))
    assert losses == Losses(0, 0, 1)
    assert edge == LossEdge(3, 3, uncounted=True)
    # The overtaker's count is behind the edge: it tells nothing either, and the edge stays.
    assert by_direction([answered(4, 2), answered(5, 4)], edge, None) == (Losses(0, 0, 0), LossEdge(5, 4))
    assert by_direction([*missing(4), answered(5, 2)], edge, None) == (Losses(0, 0, 1), LossEdge(5, 3))


def test_after_a_restart_the_reflectors_new_counts_tell() -> None:
    before = [answered(sequence, sequence - 1) for sequence in range(1001, 1005)]
    after = [*missing(1005), answered(1006, 0), *missing(1007), answered(1008, 2), *missing(1009), answered(1010, 3)]
    losses, edge = by_direction([*before, *after], LossEdge(1000, 999), None)
    assert losses == Losses(forward=1, back=1, unknown=1)
    assert edge == LossEdge(1010, 3)


@given(st.lists(st.sampled_from(["answered", "forward", "back"]), max_size=60), st.integers(1, 60))
def test_on_a_path_that_keeps_the_order_every_loss_has_its_direction_however_windows_cut_it(
    fates: list[str], size: int
) -> None:
    fates = [*fates, "answered"]
    probes, count = [], 0
    for sequence, fate in enumerate(fates, 1):
        probes.append(answered(sequence, count) if fate == "answered" else CountedProbe(sequence, None, None))
        count += fate != "forward"
    left: LossEdge | None = LossEdge(0, 2**32 - 1)
    told = Losses(0, 0, 0)
    for start in range(0, len(probes), size):
        right = next((probe for probe in probes[start + size :] if probe.first is not None), None)
        losses, left = by_direction(probes[start : start + size], left, right)
        told = Losses(*map(sum, zip(told, losses, strict=True)))
    assert told == Losses(fates.count("forward"), fates.count("back"), 0)
