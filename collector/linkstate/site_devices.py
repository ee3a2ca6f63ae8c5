"""The devices that sites say they have for jobs, as far as that counts. Pure: times come in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from collector.linkstate.report_moments import ReportMoment
from collector.settings import CapacitySettings
from linkweather.containment import contained
from linkweather.mesh import Mesh, Site
from linkweather.models.state import CapacityAnswer
from linkweather.wire import DeviceRow

# Who says more than so many times what was said before, and so many more, is asked to have it in the mesh.
_GROWTH: Final = 10
_GROWTH_LEAST: Final = 1000


@dataclass(frozen=True, slots=True)
class _TimedDevice:
    """One type of devices as last reported, when, and how many of them count at most; `before` is the total before."""

    moment: ReportMoment
    row: DeviceRow
    before: int

    def most(self, site: Site) -> int:
        """How many devices count: as many as the mesh says, else as said before, where that is far less."""
        grown = self.row.total > max(_GROWTH * self.before, self.before + _GROWTH_LEAST)
        known = self.before if grown else self.row.total
        return known if site.max_devices is None else min(self.row.total, site.max_devices)


class Capacities:
    """The devices of the sites of the mesh, by site and type. Reports of other sites are dropped.

    Where a site says more than the mesh allows it, or else ten times as much as it said before, these count.
    """

    def __init__(self, mesh: Mesh, settings: CapacitySettings) -> None:
        self._mesh = mesh
        self._expires_after_s = settings.expires_after_s
        self._devices: dict[str, dict[str, _TimedDevice]] = {}

    def apply_mesh(self, mesh: Mesh) -> None:
        """Adopt a changed mesh."""
        self._mesh = mesh
        self._devices = {site: devices for site, devices in self._devices.items() if site in mesh.sites}

    def observe(self, site: str, moment: ReportMoment, rows: Iterable[DeviceRow]) -> None:
        """Add what `site` reported; reports may come in any order."""
        if site not in self._mesh.sites:
            return
        devices = self._devices.setdefault(site, {})
        for row in rows:
            if row.type not in devices or moment.follows(devices[row.type].moment):
                devices[row.type] = _TimedDevice(moment, row, self._before(site, row))

    def _before(self, site: str, row: DeviceRow) -> int:
        """What the site said of this type before, as far as that counted."""
        known = self._of(site).get(row.type)
        return row.total if known is None else known.most(self._mesh.sites[site])

    def claimed(self) -> dict[str, str]:
        """The sites that claim devices which do not count, each with a sentence."""
        found = {}
        for name, site in self._mesh.sites.items():
            parts = [
                f"{one.row.total} {one.row.type} where {one.most(site)} count"
                for _, one in sorted(self._of(name).items())
                if one.most(site) < one.row.total
            ]
            if parts:
                found[name] = f"it claims {', '.join(parts)} (`max_devices` of the mesh says how many it may have)"
        return found

    def capacities(self, now: float) -> list[CapacityAnswer]:
        """Every type of devices of every site, in the mesh's order, also expired ones."""
        found = []
        for site in self._mesh.sites:
            for _, device in sorted(self._of(site).items()):
                with contained("capacity answer"):
                    found.append(self._answer(site, device, now))
        return found

    def newest(self, site: str) -> tuple[float | None, tuple[DeviceRow, ...]]:
        """When a site last reported a device, in seconds since the epoch, and all of its devices."""
        devices = self._of(site).values()
        return max((one.moment.at for one in devices), default=None), tuple(one.row for one in devices)

    def _of(self, site: str) -> dict[str, _TimedDevice]:
        return self._devices.get(site, {})

    def _answer(self, site: str, device: _TimedDevice, now: float) -> CapacityAnswer:
        age_s = max(0.0, now - device.moment.at)
        return CapacityAnswer(
            site=site,
            compute_id=self._mesh.sites[site].compute_id,
            state="expired" if age_s > self._expires_after_s else "fresh",
            at=datetime.fromtimestamp(device.moment.at, UTC),
            age_s=age_s,
            **_capped(device.row, device.most(self._mesh.sites[site])).model_dump(),
        )


def _capped(row: DeviceRow, most: int) -> DeviceRow:
    if row.total <= most:
        return row
    return row.model_copy(update={"total": most, "free": None if row.free is None else min(row.free, most)})
