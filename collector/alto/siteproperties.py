"""The properties of a site under ALTO's names for private use (RFC 7285 §10.8.2: at most 32 characters)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.alto.view import View
from linkweather.models.state import CapacityAnswer

_PREFIX = "priv:linkweather-"
# name → the field of the mesh's site.
TEXTS: Mapping[str, str] = {
    f"{_PREFIX}compute-id": "compute_id",
    f"{_PREFIX}operator": "operator",
    f"{_PREFIX}region": "region",
}
NUMBERS: Mapping[str, str] = {
    f"{_PREFIX}latitude": "latitude",
    f"{_PREFIX}longitude": "longitude",
    f"{_PREFIX}egress-usd-gb": "egress_usd_per_gb",
}
CAPACITY = f"{_PREFIX}capacity"
NAMES: tuple[str, ...] = (*TEXTS, *NUMBERS, CAPACITY)


# What of a report of capacity is told; not its age, with which the version tag would change every moment.
_DEVICE_FIELDS = {"type", "total", "free", "queue_s", "queued_device_hours", "usd_per_device_hour", "at"}


def of(view: View, pid: str) -> dict[str, Any]:
    """What is known of a PID; nothing of the default one, which is no site."""
    site = view.mesh.sites.get(pid)
    if site is None:
        return {}
    fields = {name: getattr(site, field) for name, field in {**TEXTS, **NUMBERS}.items()}
    fields[CAPACITY] = [_devices(told) for told in view.capacities if (told.site, told.state) == (pid, "fresh")] or None
    return {name: value for name, value in fields.items() if value is not None}


def _devices(told: CapacityAnswer) -> dict[str, Any]:
    return told.model_dump(mode="json", include=_DEVICE_FIELDS, exclude_none=True)
