"""Bounded memories, rates and prefixes."""

from __future__ import annotations

import pytest

from probes.latency.reflector_guard import Prefixes, Rates, Recent


def test_the_least_recently_kept_goes_first() -> None:
    recent: Recent[str, int] = Recent(2)
    for key in ("a", "b", "a", "c"):
        recent.keep(key, (recent.get(key) or 0) + 1)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (2, None, 1)


def test_a_source_spends_its_own_tokens_and_gets_them_back_with_time() -> None:
    rates: Rates[str] = Rates(2, 10)
    assert "a" not in rates
    assert [rates.spend("a", 0.0) for _ in range(3)] == [True, True, False]
    assert rates.spend("b", 0.0)
    assert [rates.spend("a", 0.5), rates.spend("a", 0.5)] == [True, False]
    assert [rates.spend("a", 100.0) for _ in range(3)] == [True, True, False]  # no more than a burst
    assert "a" in rates


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("192.0.2.1", True),
        ("192.0.3.1", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("fe80::1%eth0", True),
        ("::ffff:192.0.2.1", False),
    ],
)
def test_addresses_are_looked_up_in_prefixes(address: str, *, inside: bool) -> None:
    assert (address in Prefixes(["192.0.2.0/24", "2001:db8::/32", "fe80::/10"])) == inside


def test_no_prefix_holds_nothing_and_the_shortest_holds_all() -> None:
    assert "192.0.2.1" not in Prefixes([])
    assert "192.0.2.1" in Prefixes(["0.0.0.0/0"])
    assert "::1" not in Prefixes(["0.0.0.0/0"])
