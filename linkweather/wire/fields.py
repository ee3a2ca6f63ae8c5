"""The types of the fields of all messages: each unit has a name and bounds of its own.

The bounds are physical: far beyond what a network of this planet shows, and far within what arithmetic in single
precision, 64-bit integers and calendars take. What lies outside is no measurement, and costs its row.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, Field, PlainSerializer

from linkweather.mesh import PRINTABLE
from linkweather.plain_text import one_line

MAX_DELAY_S = 3600.0
MAX_DURATION_S = 1e9
MAX_BITS_PER_SECOND = 1e14
MAX_COUNT = 10**12
MAX_BYTES = 10**18
MAX_USD = 1e15
MAX_FIGURE = 1e30  # of a prober's own, whatever its unit is
# A machine without a clock of its own starts in the one; Linux sets no clock beyond the other (settimeofday(2)).
FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MOMENT = datetime(2232, 1, 1, tzinfo=UTC)

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
ReportNumber = Annotated[int, Field(ge=0, le=2**53)]  # exact in every reader of JSON
Bytes = Annotated[int, Field(ge=0, le=MAX_BYTES)]
DeviceCount = Annotated[int, Field(ge=0, le=10**9)]
# A nanosecond is finer than any clock here: further digits would be noise, and a third of every report.
_Nanoseconds = PlainSerializer(lambda value: round(value, 9), return_type=float, when_used="json-unless-none")
Seconds = Annotated[float, Field(ge=0, le=MAX_DURATION_S), _Nanoseconds]
Delay = Annotated[float, Field(ge=0, le=MAX_DELAY_S), _Nanoseconds]
SignedDelay = Annotated[float, Field(ge=-MAX_DELAY_S, le=MAX_DELAY_S), _Nanoseconds]
_Millibits = PlainSerializer(lambda value: round(value, 3), return_type=float, when_used="json-unless-none")
BitsPerSecond = Annotated[float, Field(ge=0, le=MAX_BITS_PER_SECOND), _Millibits]
Ratio = Annotated[float, Field(ge=0, le=1)]
DeviceHours = Annotated[float, Field(ge=0, le=1e12)]
UsdPerDeviceHour = Annotated[float, Field(ge=0, le=MAX_USD)]
Moment = Annotated[AwareDatetime, Field(ge=FIRST_MOMENT, le=LAST_MOMENT)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
Ttl = Annotated[int, Field(ge=1, le=255)]
MplsLabel = Annotated[int, Field(ge=0, lt=2**20)]
PacketBytes = Annotated[int, Field(ge=0, le=2**17)]

MAX_TEXT = 1000
Text = Annotated[str, Field(max_length=MAX_TEXT, pattern=PRINTABLE)]
# What people call a thing, in any script.
Label = Annotated[str, Field(min_length=1, max_length=64, pattern=PRINTABLE)]
# What programs call a thing: it goes to files, arguments and other programs, and is ASCII.
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[ -~]*$")]
Secret = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
PublicKeyPem = Annotated[
    str,
    Field(
        max_length=MAX_TEXT,
        pattern=r"^-----BEGIN PUBLIC KEY-----\r?\n[A-Za-z0-9+/=\r\n]+-----END PUBLIC KEY-----(\r?\n)?$",
    ),
]

# A prober's own figures: finite numbers under short names, and not many, as each becomes a series of its own.
FIGURE_NAME = r"^[a-z][a-z0-9_]{0,31}$"
MAX_FIGURES = 16
Figures = Annotated[
    dict[
        Annotated[str, Field(pattern=FIGURE_NAME)],
        Annotated[float, Field(ge=-MAX_FIGURE, le=MAX_FIGURE)],
    ],
    Field(min_length=1, max_length=MAX_FIGURES),
]


def printable(text: str) -> str:
    """The text as a message takes it: each control character a space, and not too long. For what programs printed."""
    return one_line(text).strip()[:MAX_TEXT]
