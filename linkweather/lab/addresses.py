"""The addresses that a lab gives to its sites and routers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX_BITS = 24
PREFIX6_BITS = 64
SITES, ROUTERS = 77, 78  # 10.77.0.0, fd77:: and 127.77.0.0 for sites, 10.78.0.0 and fd78:: for routers


@dataclass(frozen=True, slots=True)
class LabAddresses:
    """A site's or router's place in the lab: its number, from 1, and the addresses that follow from it."""

    number: int
    block: int = SITES

    @property
    def v4(self) -> ipaddress.IPv4Address:
        """Its IPv4 address on the emulated network."""
        return ipaddress.IPv4Address(f"10.{self.block}.0.0") + self.number

    @property
    def v6(self) -> ipaddress.IPv6Address:
        """Its IPv6 address on the emulated network."""
        return ipaddress.IPv6Address(f"fd{self.block}::") + self.number

    @property
    def loopback(self) -> ipaddress.IPv4Address:
        """Its address where there is no emulated network."""
        return ipaddress.IPv4Address(f"127.{self.block}.0.0") + self.number


def number_sites(names: Iterable[str]) -> dict[str, LabAddresses]:
    """Addresses for each site, in the order of the lab file."""
    return {name: LabAddresses(number) for number, name in enumerate(names, start=1)}


def number_routers(names: Iterable[str]) -> dict[str, LabAddresses]:
    """Addresses for each router, in the order of the lab file."""
    return {name: LabAddresses(number, ROUTERS) for number, name in enumerate(names, start=1)}
