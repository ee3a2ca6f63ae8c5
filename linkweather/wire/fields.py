"""What all messages are made of: strict, frozen, with units and bounds in the types of their fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
# A nanosecond is finer than any clock here: further digits would be noise, and a third of every report.
_Nanoseconds = PlainSerializer(lambda value: round(value, 9), return_type=float, when_used="json-unless-none")
Seconds = Annotated[float, Field(ge=0), _Nanoseconds]
SignedSeconds = Annotated[float, _Nanoseconds]
Ratio = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class Message(BaseModel):
    """A frozen message; strict, so that "5" is not a number and NaN is no measurement."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)
