"""Shares: which of the shares 0 … count − 1 a site belongs to, by its id alone. Pure.

Rendezvous hashing (Thaler and Ravishankar, 1998): of all shares the one whose hash together with the site is the
highest. It asks for no table and no order of sites, and another share more takes its sites evenly from all others,
which keep theirs. A room of its own because settings by hand and Kafka's partitions stand on the same rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from hashlib import blake2b

_MOST_SITES = 65_536


@lru_cache(maxsize=_MOST_SITES)
def share_of(site: str, count: int) -> int:
    """The share of a site, of `count`."""
    return max(range(count), key=lambda share: blake2b(f"{site}/{share}".encode(), digest_size=8).digest())


def sites_of(shares: Collection[int], count: int, sites: Iterable[str]) -> tuple[str, ...]:
    """Those of the sites that belong to one of the shares, in their order."""
    return tuple(site for site in sites if share_of(site, count) in shares)
