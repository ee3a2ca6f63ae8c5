"""The addresses that a lab gives to its sites."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX_BITS = 24
PREFIX6_BITS = 64
_FIRST = ipaddress.IPv4Address("10.77.0.0")
_FIRST6 = ipaddress.IPv6Address("fd77::")
_FIRST_LOOPBACK = ipaddress.IPv4Address("127.77.0.0")


@dataclass(frozen=True, slots=True)
class Addresses:
    """A site's place in the lab: its number, from 1, and the addresses that follow from it."""

    number: int

    @property
    def v4(self) -> ipaddress.IPv4Address:
        """Its IPv4 address on the emulated network."""
        return _FIRST + self.number

    @property
    def v6(self) -> ipaddress.IPv6Address:
        """Its IPv6 address on the emulated network."""
        return _FIRST6 + self.number

    @property
    def loopback(self) -> ipaddress.IPv4Address:
        """Its address where there is no emulated network."""
        return _FIRST_LOOPBACK + self.number


def number_sites(names: Iterable[str]) -> dict[str, Addresses]:
    """Addresses for each site, in the order of the lab file."""
    return {name: Addresses(number) for number, name in enumerate(names, start=1)}
