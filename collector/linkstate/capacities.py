"""What each site has for jobs, as it last said: reports go in, in any order; `now` goes in, answers come out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from collector.settings import CapacitySettings
from linkweather.mesh import Mesh
from linkweather.models.state import CapacityAnswer
from linkweather.wire import DeviceRow


@dataclass(frozen=True, slots=True)
class _TimedDevice:
    """One type of devices, and when the site said so, in seconds since the epoch."""

    at: float
    row: DeviceRow


class Capacities:
    """What the sites of the mesh have, by site and type. What other sites say is not kept."""

    def __init__(self, mesh: Mesh, settings: CapacitySettings) -> None:
        self._mesh = mesh
        self._expires_after_s = settings.expires_after_s
        self._told: dict[str, dict[str, _TimedDevice]] = {}

    def apply_mesh(self, mesh: Mesh) -> None:
        """Follow a changed mesh."""
        self._mesh = mesh
        self._told = {site: told for site, told in self._told.items() if site in mesh.sites}

    def observe(self, site: str, at: float, rows: Iterable[DeviceRow]) -> None:
        """Take in what `site` said `at`, in seconds since the epoch, also when something newer came before it."""
        if site not in self._mesh.sites:
            return
        told = self._told.setdefault(site, {})
        for row in rows:
            if row.type not in told or at >= told[row.type].at:
                told[row.type] = _TimedDevice(at, row)

    def capacities(self, now: float) -> list[CapacityAnswer]:
        """Every type of devices of every site of the mesh, in the mesh's order; also what has expired."""
        return [
            self._answer(site, told, now) for site in self._mesh.sites for _, told in sorted(self._of(site).items())
        ]

    def _of(self, site: str) -> dict[str, _TimedDevice]:
        return self._told.get(site, {})

    def _answer(self, site: str, told: _TimedDevice, now: float) -> CapacityAnswer:
        age_s = max(0.0, now - told.at)
        return CapacityAnswer(
            site=site,
            compute_id=self._mesh.sites[site].compute_id,
            state="expired" if age_s > self._expires_after_s else "fresh",
            at=datetime.fromtimestamp(told.at, UTC),
            age_s=age_s,
            **told.row.model_dump(),
        )
