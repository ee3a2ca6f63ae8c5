"""Shares: who keeps which sites follows from their ids alone, evenly, and moves few of them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from collector.cluster.shares import share_of, sites_of

SITES = [f"s{number:04d}" for number in range(1000)]


def test_a_share_stays_what_it_is() -> None:
    """All collectors, of whatever version, have to agree."""
    assert [share_of(site, 4) for site in ("bj", "cc", "gba", "gs", "gz", "nm", "nx", "yd")] == [0, 1, 0, 0, 0, 3, 3, 0]


def test_every_site_belongs_to_one_share_and_the_shares_are_about_even() -> None:
    found = [sites_of({share}, 4, SITES) for share in range(4)]
    assert sorted(site for sites in found for site in sites) == SITES
    assert all(200 < len(sites) < 300 for sites in found)


def test_a_further_share_takes_its_sites_from_all_others_which_keep_theirs() -> None:
    moved = Counter(share_of(site, 4) for site in SITES if share_of(site, 5) != share_of(site, 4))
    assert all(share_of(site, 5) in (4, share_of(site, 4)) for site in SITES)
    assert set(moved) == {0, 1, 2, 3}
    assert 150 < moved.total() < 250


@pytest.mark.parametrize("module", ["collector.daemon", "collector.cluster.cluster", "collector.shared_log"])
def test_without_the_setting_nothing_imports_kafka_s_client(module: str) -> None:
    program = f"import sys, {module}; sys.exit(any(name.startswith('confluent_kafka') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
