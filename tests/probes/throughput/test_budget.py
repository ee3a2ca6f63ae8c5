from __future__ import annotations

import random

import pytest

from linkweather.wire import ThroughputRow
from probes.throughput.budget import BLOCK_BYTES, DAY_S, MIN_TEST_BYTES, Bucket, Last, charged_bytes, wanted_bytes

NOW_S = 1.7e9
MB = 10**6
BUDGET = 800 * MB  # at once 100 MB, and 700 MB in a day


def test_a_new_bucket_is_full_and_holds_an_eighth_of_the_day() -> None:
    assert Bucket(BUDGET).left_bytes(NOW_S) == 100 * MB


def test_what_is_spent_comes_back_evenly_over_the_day() -> None:
    bucket = Bucket(BUDGET).spent(NOW_S, 100 * MB)
    assert bucket.left_bytes(NOW_S) == 0
    assert bucket.left_bytes(NOW_S + DAY_S / 14) == pytest.approx(50 * MB, abs=2)
    assert bucket.left_bytes(NOW_S + DAY_S) == 100 * MB


def test_spending_adds_up() -> None:
    bucket = Bucket(BUDGET).spent(NOW_S, 30 * MB).spent(NOW_S, 20 * MB)
    assert bucket.left_bytes(NOW_S) == pytest.approx(50 * MB, abs=200)


def test_in_no_24_hours_goes_more_than_the_budget() -> None:
    rng, bucket, now_s = random.Random(1), Bucket(BUDGET), NOW_S
    spent: list[tuple[float, int]] = []
    while now_s < NOW_S + 3 * DAY_S:
        # Idle for hours, then as greedy as can be: the worst that the allowance can be put to.
        now_s += rng.choice([1.0, 60.0, 3 * 3600.0])
        count = bucket.left_bytes(now_s)
        bucket = bucket.spent(now_s, count)
        spent.append((now_s, count))
    windows = [sum(count for at, count in spent if start <= at < start + DAY_S) for start, _ in spent]
    assert 0.85 * BUDGET < max(windows) <= BUDGET


def test_a_clock_that_was_set_back_finds_an_empty_bucket_that_fills_again() -> None:
    bucket = Bucket(BUDGET).spent(NOW_S, 50 * MB)
    long_ago_s = NOW_S - 365 * DAY_S
    assert bucket.left_bytes(long_ago_s) == 0
    bucket = bucket.spent(long_ago_s, 0)
    assert bucket.left_bytes(long_ago_s + DAY_S) == 100 * MB


@pytest.mark.parametrize(
    ("last", "bytes_wanted"),
    [
        (None, 25 * MB),  # a quarter of what there is at once
        (Last(20 * MB, limited=False), 30 * MB),
        (Last(20 * MB, limited=True), 40 * MB),
        (Last(90 * MB, limited=False), 75 * MB),  # a quarter stays for what is brought forward
        (Last(1000, limited=False), MIN_TEST_BYTES),
    ],
)
def test_a_test_asks_for_what_the_last_one_took_and_some_more(last: Last | None, bytes_wanted: int) -> None:
    assert wanted_bytes(last, 100 * MB) == bytes_wanted


def row(**fields: object) -> ThroughputRow:
    return ThroughputRow.model_validate({"src": "a", "dst": "b", "method": "iperf3", **fields})


@pytest.mark.parametrize(
    ("found", "limit", "charged"),
    [
        (row(goodput_bps=1e8, bytes=5 * MB), 10 * MB, 5 * MB + BLOCK_BYTES),
        (row(goodput_bps=1e8, bytes=10 * MB), 10 * MB, 10 * MB),
        (row(goodput_bps=1e8, bytes=5 * MB), None, 5 * MB),
        (row(failure="no_answer"), 10 * MB, 0),
        (row(failure="died"), 10 * MB, 10 * MB),  # nobody knows what it moved
        (row(failure="died"), None, 0),
    ],
)
def test_a_test_is_charged_for_what_it_may_have_moved(found: ThroughputRow, limit: int | None, charged: int) -> None:
    assert charged_bytes(found, limit) == charged
