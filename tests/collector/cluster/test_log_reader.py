"""What an owner has still to read of a partition, before what came of late."""

from __future__ import annotations

from collector.cluster.log_reader import LogGaps


def test_a_gap_is_filled_from_its_beginning_to_its_end() -> None:
    gaps = LogGaps()
    gaps.open(3, 10, 13)
    assert gaps.positions == {3: 10}
    for offset, left in ((10, {3: 11}), (11, {3: 12}), (12, {})):
        gaps.read(3, offset)
        assert gaps.positions == left


def test_a_message_beyond_the_gap_ends_it() -> None:
    gaps = LogGaps()
    gaps.open(3, 10, 13)
    gaps.read(3, 13)
    assert gaps.positions == {}
    gaps.read(3, 11)
    assert gaps.positions == {}


def test_an_empty_gap_is_none() -> None:
    gaps = LogGaps()
    gaps.open(3, 13, 13)
    assert gaps.positions == {}


def test_a_partition_that_is_another_owners_has_none() -> None:
    gaps = LogGaps()
    gaps.open(3, 10, 13)
    gaps.drop(3)
    gaps.drop(4)
    assert gaps.positions == {}
