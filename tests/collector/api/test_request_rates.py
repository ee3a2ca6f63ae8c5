"""A bucket an address: what it holds at once, how it fills again, and what is forgotten."""

from __future__ import annotations

import pytest

from collector.api import request_rates
from collector.api.request_rates import RequestRates


def test_an_address_may_ask_so_often_at_once_and_then_by_the_rate() -> None:
    rates = RequestRates(per_s=4.0, most=3)
    assert [rates.wait_s("192.0.2.1", 100.0) for _ in range(5)] == [
        0.0,
        0.0,
        0.0,
        0.25,
        0.25,
    ]  # a refusal takes nothing
    assert rates.wait_s("192.0.2.1", 100.125) == 0.125
    assert [rates.wait_s("192.0.2.1", 100.25) for _ in range(2)] == [0.0, 0.25]
    assert rates.wait_s("192.0.2.2", 100.25) == 0.0  # another's bucket is its own
    assert [rates.wait_s("192.0.2.1", 1000.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.25]  # full, and not fuller


@pytest.mark.parametrize("now", [0.0, 1e7 + 0.1])
def test_a_request_at_exactly_the_rate_is_never_refused(now: float) -> None:
    rates = RequestRates(per_s=30.0, most=1)
    assert {rates.wait_s("192.0.2.1", now + number / 30.0) for number in range(3000)} == {0.0}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ],
)
def test_the_addresses_of_one_host_are_one_caller(one: str, other: str, *, same: bool) -> None:
    rates = RequestRates(per_s=1.0, most=1)
    assert rates.wait_s(one, 0.0) == 0.0
    assert (rates.wait_s(other, 0.0) > 0.0) is same


def test_of_too_many_addresses_the_one_that_was_quiet_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_rates, "ADDRESSES_MAX", 2)
    rates = RequestRates(per_s=1.0, most=1)
    asked = [rates.wait_s(f"192.0.2.{last}", 0.0) > 0.0 for last in (1, 2, 1, 3, 1, 2)]
    assert asked == [False, False, True, False, True, False]
    assert len(rates) == 2
