"""How many requests a second each address may send: a token bucket an address, within bounded memory.

A room of its own, as the only logic among what stands before the operations. A bucket is kept as the moment when it is
full again (the generic cell rate algorithm, ITU-T I.371): one number an address, none for a full one.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Final

ADDRESSES_MAX: Final = 10_000
_ROUNDING_S: Final = 1e-6


class RequestRates:
    """Buckets of `most` requests that fill again by `per_s` each second."""

    def __init__(self, per_s: float, most: int) -> None:
        self._interval_s = 1.0 / per_s
        self._depth_s = most * self._interval_s
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def wait_s(self, address: str, now: float) -> float:
        """Take one request of an address out of its bucket: 0.0, or for how long it must wait, and nothing is taken."""
        caller = _caller(address)
        full_at = max(now, self._full_at.pop(caller, now)) + self._interval_s
        wait_s = full_at - now - self._depth_s
        refused = wait_s > _ROUNDING_S
        self._full_at[caller] = full_at - self._interval_s if refused else full_at  # the newest last
        if len(self._full_at) > ADDRESSES_MAX:
            del self._full_at[next(iter(self._full_at))]  # it has been quiet for longest
        return wait_s if refused else 0.0


def _caller(address: str) -> str:
    """All 2^64 addresses of an IPv6 network are one caller; one of IPv4 may be written as one of IPv6."""
    if ":" not in address:
        return address
    found = IPv6Address(address.partition("%")[0])
    return str(found.ipv4_mapped or int(found) >> 64)
