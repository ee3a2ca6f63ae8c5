"""The types of the fields of all messages: each unit has a name and bounds of its own.

A room of its own so that every bound is in one place.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PlainSerializer

Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Bytes = Annotated[int, Field(ge=0, le=2**63 - 1)]
DeviceCount = Annotated[int, Field(ge=0, le=10**9)]
# A nanosecond is finer than any clock here: further digits would be noise, and a third of every report.
_Nanoseconds = PlainSerializer(lambda value: round(value, 9), return_type=float, when_used="json-unless-none")
Seconds = Annotated[float, Field(ge=0), _Nanoseconds]
SignedSeconds = Annotated[float, _Nanoseconds]
_Millibits = PlainSerializer(lambda value: round(value, 3), return_type=float, when_used="json-unless-none")
BitsPerSecond = Annotated[float, Field(ge=0), _Millibits]
Ratio = Annotated[float, Field(ge=0, le=1)]
DeviceHours = Annotated[float, Field(ge=0)]
UsdPerDeviceHour = Annotated[float, Field(ge=0)]
Text = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
Ttl = Annotated[int, Field(ge=1, le=255)]
MplsLabel = Annotated[int, Field(ge=0, lt=2**20)]

# A prober's own figures: finite numbers under short names, and not many, as each becomes a series of its own.
FIGURE_NAME = r"^[a-z][a-z0-9_]{0,31}$"
MAX_FIGURES = 16
Figures = Annotated[
    dict[Annotated[str, Field(pattern=FIGURE_NAME)], float], Field(min_length=1, max_length=MAX_FIGURES)
]
