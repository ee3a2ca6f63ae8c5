from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.sinks.delivery import SAMPLES, AllRefusedError, deliver
from linkweather.sink import BatchRefusedError, RowRefusal, SinkAwayError


@dataclass(frozen=True)
class Numbers:
    """A batch of the numbers from `first` to `last`, of which `missing` have no row."""

    first: int
    last: int
    missing: frozenset[int] = frozenset()

    @property
    def span(self) -> int:
        return self.last - self.first + 1

    def __len__(self) -> int:
        return len(self.present)

    @property
    def present(self) -> set[int]:
        return set(range(self.first, self.last + 1)) - self.missing

    def part(self, start: int, stop: int) -> Numbers:
        return Numbers(self.first + start, self.first + stop - 1, self.missing)


class PickyPlace:
    """Takes a batch without bad numbers, of at most `most` rows."""

    def __init__(self, bad: set[int], most: int = 10**9) -> None:
        self.bad = bad
        self.most = most
        self.taken: set[int] = set()
        self.writes = 0

    def write(self, batch: Numbers) -> Sequence[RowRefusal]:
        self.writes += 1
        if len(batch) > self.most:
            raise BatchRefusedError("too large", too_large=True)
        if self.bad & batch.present:
            raise BatchRefusedError("bad")
        self.taken |= batch.present
        return ()


numbers = st.sets(st.integers(0, 99))


@given(bad=numbers, missing=numbers, most=st.integers(1, 200), turn=st.integers(0, 9))
def test_every_good_row_is_taken_and_every_bad_one_named_unless_all_that_was_tried_is_refused(
    bad: set[int], missing: set[int], most: int, turn: int
) -> None:
    batch, place = Numbers(0, 99, frozenset(missing)), PickyPlace(bad, most)
    if not batch.present:
        return
    try:
        refusals = deliver(place.write, batch, turn)
    except AllRefusedError:
        # Of what is left after the samples, so much was bad that none of them was good.
        assert not place.taken
        assert bad & batch.present
    else:
        assert place.taken == batch.present - bad
        assert sorted(one.first for one in refusals) == sorted(bad & batch.present)
        assert all(one.first == one.last and one.rows == 1 for one in refusals)


@pytest.mark.parametrize("size", [2, 100, 1024, 10_000])
def test_one_bad_row_among_n_costs_about_log_n_writes(size: int) -> None:
    costs = []
    for bad in range(0, size, max(1, size // 97)):
        place = PickyPlace({bad})
        assert [one.first for one in deliver(place.write, Numbers(0, size - 1))] == [bad]
        costs.append(place.writes)
    assert max(costs) <= 2 * log2(size) + 3
    assert sum(costs) / len(costs) <= 1.5 * log2(size) + 3


def test_where_everything_is_refused_a_few_rows_are_tried_and_others_at_the_next_turn() -> None:
    place = PickyPlace(set(range(10_000)))
    with pytest.raises(AllRefusedError, match=r"^bad$"):
        deliver(place.write, Numbers(0, 9999))
    assert place.writes == 1 + 2 + SAMPLES
    place = PickyPlace(set(range(10_000)) - {1})
    assert {one.first for one in deliver(place.write, Numbers(0, 9999), turn=1)} == place.bad


def test_a_single_row_that_is_refused_is_not_set_aside() -> None:
    with pytest.raises(AllRefusedError):
        deliver(PickyPlace({0}).write, Numbers(0, 0))


def test_what_the_sink_names_itself_is_passed_on_without_another_write() -> None:
    refusals = [RowRefusal(3, 3, 1, "bad"), RowRefusal(5, 9, 2, "old", beyond_limit=True)]
    assert deliver(lambda _: refusals, Numbers(0, 99)) == refusals


def test_a_sink_that_names_every_row_refuses_everything_unless_it_is_by_a_limit() -> None:
    with pytest.raises(AllRefusedError, match=r"^wrong type$"):
        deliver(lambda _: [RowRefusal(0, 9, 10, "wrong type")], Numbers(0, 9))
    beyond = [RowRefusal(0, 9, 10, "old", beyond_limit=True)]
    assert deliver(lambda _: beyond, Numbers(0, 9)) == beyond


def test_a_place_that_goes_away_in_between_ends_the_search() -> None:
    place = PickyPlace({7})

    def write(batch: Numbers) -> Sequence[RowRefusal]:
        if place.writes == 3:
            raise SinkAwayError("gone")
        return place.write(batch)

    with pytest.raises(SinkAwayError):
        deliver(write, Numbers(0, 99))
