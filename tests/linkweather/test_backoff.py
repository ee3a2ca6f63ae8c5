from __future__ import annotations

import random

from linkweather.backoff import Backoff


def test_waits_double_up_to_the_bound_and_start_over_after_a_success() -> None:
    backoff = Backoff(first_s=1.0, most_s=5.0)
    assert [backoff.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next_s() == 1.0


def test_a_wait_stays_the_same_until_the_next_failure() -> None:
    backoff = Backoff(first_s=1.0, most_s=5.0, rng=random.Random(1))
    before = backoff.wait_s
    assert backoff.wait_s == before
    backoff.fail()
    assert backoff.wait_s != before


def test_randomness_shortens_a_wait_by_up_to_half() -> None:
    rng = random.Random(2)
    waits = [Backoff(first_s=8.0, most_s=8.0, rng=rng).wait_s for _ in range(1000)]
    assert 4.0 <= min(waits) < 4.1
    assert 7.9 < max(waits) <= 8.0
