from __future__ import annotations

import random

from collector.store.report_keys import RangeChanges, ReportKeys


def test_consecutive_numbers_of_one_outbox_are_one_range() -> None:
    seen = ReportKeys()
    for seq in (1, 2, 3):
        seen.add(("a", "boot", seq))
    assert list(seen.ranges()) == [("a", "boot", 1, 3)]


def test_a_late_number_closes_the_gap_between_two_ranges() -> None:
    seen = ReportKeys([("a", "boot", 1, 2), ("a", "boot", 4, 5)])
    assert ("a", "boot", 3) not in seen
    seen.add(("a", "boot", 3))
    assert list(seen.ranges()) == [("a", "boot", 1, 5)]


def test_a_number_before_a_range_extends_it_downwards() -> None:
    seen = ReportKeys([("a", "boot", 4, 5)])
    seen.add(("a", "boot", 3))
    assert list(seen.ranges()) == [("a", "boot", 3, 5)]


def test_adding_twice_changes_nothing() -> None:
    seen = ReportKeys([("a", "boot", 4, 5)])
    seen.add(("a", "boot", 5))
    assert list(seen.ranges()) == [("a", "boot", 4, 5)]


def test_stored_ranges_that_touch_or_overlap_are_joined() -> None:
    seen = ReportKeys([("a", "boot", 1, 2), ("a", "boot", 2, 3), ("a", "boot", 3, 3), ("a", "boot", 7, 7)])
    assert list(seen.ranges()) == [("a", "boot", 1, 3), ("a", "boot", 7, 7)]


def test_sites_and_outboxes_do_not_share_numbers() -> None:
    seen = ReportKeys([("a", "boot", 1, 9)])
    assert ("b", "boot", 5) not in seen
    assert ("a", "other", 5) not in seen
    assert ("a", "boot", 9) in seen
    assert ("a", "boot", 10) not in seen
    assert ("a", "boot", 0) not in seen


def test_any_order_of_arrival_gives_the_same_set_as_a_plain_set() -> None:
    chance = random.Random(7)
    numbers = [chance.randrange(200) for _ in range(300)]
    seen = ReportKeys()
    for number in numbers:
        seen.add(("a", "boot", number))
    assert {number for number in range(200) if ("a", "boot", number) in seen} == set(numbers)


def test_changes_are_few_and_say_which_range_is_extended_gone_and_new() -> None:
    seen = ReportKeys([("a", "boot", 0, 4), ("a", "boot", 6, 8), ("b", "boot", 0, 0)])
    grown = seen.grown([("a", "boot", 5), ("a", "boot", 20)])
    assert seen.changes(grown) == RangeChanges(
        gone=[("a", "boot", 6, 8)], extended=[("a", "boot", 0, 8)], new=[("a", "boot", 20, 20)]
    )
    assert ("a", "boot", 5) not in seen
    seen.update(grown)
    assert list(seen.ranges()) == [("a", "boot", 0, 8), ("a", "boot", 20, 20), ("b", "boot", 0, 0)]


def test_the_first_keys_of_an_outbox_are_a_new_range() -> None:
    seen = ReportKeys()
    grown = seen.grown([("a", "boot", 2), ("b", "other", 0), ("a", "boot", 1)])
    assert seen.changes(grown) == RangeChanges(gone=[], extended=[], new=[("a", "boot", 1, 2), ("b", "other", 0, 0)])
