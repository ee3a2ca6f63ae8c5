"""What a site has for jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from linkweather.wire.fields import DeviceCount, DeviceHours, Name, Seconds, UsdPerDeviceHour
from linkweather.wire.messages import Message, Report


class DeviceRow(Message):
    """How many devices (accelerators, or whatever jobs are counted in) of one type the publishing site has.

    `total` can be used by jobs at all, `free` of them now. `queue_s` is how long a job that comes now waits until it
    starts; where a site knows only how much work is ahead of it, running or waiting, `queued_device_hours` is that.
    What is not known is absent, and is then nowhere read as zero.
    """

    type: Name
    total: DeviceCount
    free: DeviceCount | None = None
    queue_s: Seconds | None = None
    queued_device_hours: DeviceHours | None = None
    usd_per_device_hour: UsdPerDeviceHour | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.free is not None and self.free > self.total:
            raise ValueError("free exceeds total")
        return self


class CapacityReport(Report):
    """What the publishing site has for jobs. A type that it does not name stays as it was reported before."""

    kind: Literal["capacity"] = "capacity"
    devices: Annotated[tuple[DeviceRow, ...], Field(min_length=1)]

    @property
    def rows(self) -> Sequence[DeviceRow]:
        """A row for each type of devices."""
        return self.devices

    @model_validator(mode="after")
    def _possible(self) -> Self:
        types = [row.type for row in self.devices]
        if len(set(types)) < len(types):
            raise ValueError("a type stands twice")
        return self
