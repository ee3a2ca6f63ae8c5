"""Reports and the other MQTT messages: fields, units, encoding; a module for each family.

Names end in base SI units; times are UTC, RFC 3339 on the wire. A reader ignores fields that it does not know and
refuses values that cannot be: a message from a broken or hostile peer raises MessageError with a reason to count it by.
"""

from linkweather.wire.capacity import CapacityReport, DeviceRow
from linkweather.wire.fields import (
    BitsPerSecond,
    Bytes,
    Count,
    Delay,
    DeviceCount,
    DeviceHours,
    Label,
    Moment,
    Name,
    PortNumber,
    Ratio,
    ReportNumber,
    Seconds,
    SignedDelay,
    Text,
    UsdPerDeviceHour,
)
from linkweather.wire.latency import LatencyReport, LatencyRow, Outage
from linkweather.wire.messages import AnyMessage, LinkReport, Message, Report, Row, SplitFrom, decode, encode
from linkweather.wire.path import Hop, PathReport, PathRow
from linkweather.wire.reports import (
    CONFLICT,
    MAX_BOOTS,
    REPORTS,
    AnyReport,
    BootCount,
    Committed,
    DecodedReport,
    Presence,
    RefusedRow,
    ReportRefusal,
    Status,
    decode_report,
)
from linkweather.wire.rewriting import renumbered, split
from linkweather.wire.throughput import Answer, Claim, Invite, Served, ThroughputReport, ThroughputRow

__all__ = [
    "CONFLICT",
    "MAX_BOOTS",
    "REPORTS",
    "Answer",
    "AnyMessage",
    "AnyReport",
    "BitsPerSecond",
    "BootCount",
    "Bytes",
    "CapacityReport",
    "Claim",
    "Committed",
    "Count",
    "DecodedReport",
    "Delay",
    "DeviceCount",
    "DeviceHours",
    "DeviceRow",
    "Hop",
    "Invite",
    "Label",
    "LatencyReport",
    "LatencyRow",
    "LinkReport",
    "Message",
    "Moment",
    "Name",
    "Outage",
    "PathReport",
    "PathRow",
    "PortNumber",
    "Presence",
    "Ratio",
    "RefusedRow",
    "Report",
    "ReportNumber",
    "ReportRefusal",
    "Row",
    "Seconds",
    "Served",
    "SignedDelay",
    "SplitFrom",
    "Status",
    "Text",
    "ThroughputReport",
    "ThroughputRow",
    "UsdPerDeviceHour",
    "decode",
    "decode_report",
    "encode",
    "renumbered",
    "split",
]
