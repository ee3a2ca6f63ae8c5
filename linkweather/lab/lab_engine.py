"""What a lab engine does, the addresses that every engine gives, and the engine that emulates nothing."""

from __future__ import annotations

import ipaddress
import select
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from linkweather.errors import OperatorError
from linkweather.lab.labfile import LabFile, Pair
from linkweather.lab.protocol import ChangeLink, LabEngineName, LabLinkState, LabSiteState

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


class LabEngine(Protocol):
    """An emulated network that runs, until the exit stack it was built on is closed."""

    name: LabEngineName
    sites: Mapping[str, LabSiteState]
    routers: Mapping[str, str]

    def wait(self, files: Sequence[int]) -> list[int]:
        """Do the engine's own work until some of the files are readable, and return those."""

    def change(self, pair: Pair, change: ChangeLink) -> None:
        """Change one link. Raises OperatorError for an impossible behaviour."""

    def links(self) -> tuple[LabLinkState, ...]:
        """Every link as it is now."""

    def strays(self) -> dict[str, int]:
        """Packets that no link took, by reason."""


class LoopbackEngine:
    """Sites as addresses of loopback: nothing is emulated."""

    name: LabEngineName = "loopback"

    def __init__(self, lab: LabFile) -> None:
        numbered = number_sites(lab.sites)
        self.sites: Mapping[str, LabSiteState] = {
            name: LabSiteState(address=str(its.loopback)) for name, its in numbered.items()
        }
        self.routers: Mapping[str, str] = {}

    def wait(self, files: Sequence[int]) -> list[int]:
        """Wait for the files."""
        return select.select(files, (), ())[0]

    def change(self, pair: Pair, change: ChangeLink) -> None:
        """Refuse: there is no link."""
        del change
        raise OperatorError(f"the link {pair[0]} → {pair[1]} cannot be changed: on loopback, links are not emulated")

    def links(self) -> tuple[LabLinkState, ...]:
        """None."""
        return ()

    def strays(self) -> dict[str, int]:
        """None."""
        return {}
