from __future__ import annotations

import random

from collector.store.report_keys import ReportKeys


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
    seen = ReportKeys([("a", "boot", 3, 3), ("a", "boot", 1, 2), ("a", "boot", 2, 3), ("a", "boot", 7, 7)])
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
