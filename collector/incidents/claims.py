"""Claims that cannot be: the sites that make them, from when one is found until an operator acknowledges it. Pure.

A room of its own, as these conditions last without being found again: a site that lied is trusted by people alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from collector.incidents.conditions import Conditions, Evidence, Subject
from collector.incidents.incident_book import Incident
from collector.linkstate.plausible import LightFloors, suspects
from collector.linkstate.snapshot import Snapshot
from linkweather.mesh import Mesh
from linkweather.models.incidents import SilenceAnswer


class ClaimConditions:
    """Finds the claims of a moment that cannot be, beside those that last."""

    def __init__(self) -> None:
        self._light = LightFloors()

    def find(
        self,
        snapshot: Snapshot,
        mesh: Mesh,
        lasting: Iterable[Incident],
        silences: Iterable[SilenceAnswer],
        claimed: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[Subject, Evidence]:
        """What is found now, and what was found and is not acknowledged; `claimed` is what sites claim to have."""
        now = suspects(snapshot, self._light.floors_s(mesh))
        for site, said in claimed.items():
            now[site] = f"{now[site]}; {said}" if site in now else said
        found = {Subject("implausible", site): Evidence(detail=said) for site, said in now.items()}
        return {**_unacknowledged(lasting, silences), **found}


def suspect_sites(lasting: Iterable[Incident], silences: Iterable[SilenceAnswer]) -> dict[str, str]:
    """The sites that nothing may go through, each with a sentence that says why."""
    return {one.src or "": figure.detail or "" for one, figure in _unacknowledged(lasting, silences).items()}


def _unacknowledged(lasting: Iterable[Incident], silences: Iterable[SilenceAnswer]) -> Conditions:
    acknowledged = {one.incident for one in silences}
    found: Mapping[Subject, Evidence] = {
        subject: incident.conditions[subject].evidence
        for incident in lasting
        if incident.kind == "implausible" and incident.id not in acknowledged
        for subject in incident.now
    }
    return found
