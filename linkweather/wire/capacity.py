"""What a site has for jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from linkweather.wire.fields import DeviceCount, DeviceHours, Label, Seconds, UsdPerDeviceHour
from linkweather.wire.messages import MAX_ROWS, Message, Relations, Report

CAPACITY_RELATIONS = Relations("free <= total")


class DeviceRow(Message):
    """How many devices of one type the publishing site has: accelerators, or any unit that jobs are counted in.

    Jobs can use `total` devices, and `free` of them now. `queue_s` is how long a job submitted now waits; a site that
    knows only the work ahead of it, running or waiting, gives `queued_device_hours`. An absent field is unknown, and
    never read as zero.
    """

    type: Label
    total: DeviceCount
    free: DeviceCount | None = None
    queue_s: Seconds | None = None
    queued_device_hours: DeviceHours | None = None
    usd_per_device_hour: UsdPerDeviceHour | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        CAPACITY_RELATIONS.check(self.__dict__)
        return self


class CapacityReport(Report):
    """What the publishing site has for jobs. A type that it does not name stays as it was reported before."""

    kind: Literal["capacity"] = "capacity"
    devices: Annotated[tuple[DeviceRow, ...], Field(min_length=1, max_length=MAX_ROWS)]

    @property
    def rows(self) -> Sequence[DeviceRow]:
        """A row for each type of devices."""
        return self.devices

    @model_validator(mode="after")
    def _possible(self) -> Self:
        types = [row.type for row in self.devices]
        if len(set(types)) < len(types):
            raise ValueError("a type occurs twice")
        return self
