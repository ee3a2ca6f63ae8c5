"""What the lab process needs of an engine, and the engine for machines that cannot emulate."""

from __future__ import annotations

import select
from collections.abc import Mapping, Sequence
from typing import Protocol

from linkweather.errors import OperatorError
from linkweather.lab.addresses import number_sites
from linkweather.lab.labfile import LabFile, Pair
from linkweather.lab.protocol import ChangeLink, LabEngineName, LabLinkState, LabSiteState


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
