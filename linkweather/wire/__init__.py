"""Reports and the other MQTT messages: fields, units, encoding.

Base SI units stand in the names; times are UTC, RFC 3339 on the wire. A reader ignores fields that
it does not know and refuses values that cannot be: a message from a broken or hostile peer raises
`MessageError` with a reason to count it by.
"""

from linkweather.wire.coding import (
    AnyMessage,
    decode,
    encode,
)
from linkweather.wire.control import (
    Answer,
    Claim,
    Committed,
    Invite,
    Refusal,
    Served,
    Status,
)
from linkweather.wire.fields import (
    Count,
    Message,
    Name,
    Ratio,
    Seconds,
    SignedSeconds,
    Text,
)
from linkweather.wire.reports import (
    LINK_REPORTS,
    PUBLISHER,
    REPORTS,
    AnyReport,
    CapacityReport,
    LatencyReport,
    LinkReport,
    PathReport,
    Report,
    ThroughputReport,
    decode_report,
    rows_of,
)
from linkweather.wire.rows import (
    DeviceCount,
    DeviceRow,
    Hop,
    LatencyRow,
    Outage,
    PathRow,
    Row,
    ThroughputRow,
)

__all__ = [
    "LINK_REPORTS",
    "PUBLISHER",
    "REPORTS",
    "Answer",
    "AnyMessage",
    "AnyReport",
    "CapacityReport",
    "Claim",
    "Committed",
    "Count",
    "DeviceCount",
    "DeviceRow",
    "Hop",
    "Invite",
    "LatencyReport",
    "LatencyRow",
    "LinkReport",
    "Message",
    "Name",
    "Outage",
    "PathReport",
    "PathRow",
    "Ratio",
    "Refusal",
    "Report",
    "Row",
    "Seconds",
    "Served",
    "SignedSeconds",
    "Status",
    "Text",
    "ThroughputReport",
    "ThroughputRow",
    "decode",
    "decode_report",
    "encode",
    "rows_of",
]
