"""State rows: what a collector knows of one site's links now, for the other collectors; one retained message a site.

A row is a line of JSON, its head, then a line end, then the columns, compressed by zlib: each column little-endian,
one after the other in the order of COLUMNS, first those of the links from the site, then those of the links to it.
Which links these are, and their order, follows from the mesh that `mesh` names; so a row has no names in it. What is
known of a link is not aged: times are seconds since the epoch, and whoever reads the row ages it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field

from linkweather.errors import MessageError
from linkweather.wire.capacity import DeviceRow
from linkweather.wire.fields import Name, Text
from linkweather.wire.messages import MAX_ROWS, Message, decode, encode

MAX_HEAD_BYTES: Final = 1_000_000

# Column → its type: a letter of the module struct, with its size in bytes.
_TIME, _REAL, _SINGLE, _SHORT, _BOOL = ("d", 8), ("d", 8), ("f", 4), ("H", 2), ("?", 1)
_EXPECTED: Final[Mapping[str, tuple[str, int]]] = {
    **dict.fromkeys(("p10", "p50", "p90", "mean", "step", "reverts"), _SINGLE),
    "samples": _SHORT,
    "newest_at": _TIME,
}
COLUMNS: Final[Mapping[str, Mapping[str, tuple[str, int]]]] = {
    "latency": {
        "contact_at": _TIME,
        "up": _BOOL,
        "rerouted_at": _TIME,
        "loss_ratio": _REAL,  # compared with limits such as 0.1, which single precision does not have
        "jitter_s": _SINGLE,
        "owd_p50_s": _SINGLE,
        **_EXPECTED,
    },
    "goodput": {"goodput_at": _TIME, **_EXPECTED},
}

Epoch = Annotated[float, Field(ge=0, le=1e10)]
LinkCount = Annotated[int, Field(ge=0, le=MAX_ROWS)]


class StateRowHead(Message):
    """Whose row it is: of the collector `by`, which answers at `url`, `at` in seconds since the epoch.

    `mesh` is the digest of the links that it knows, `latency` and `goodput` how many of them are from the site and to
    it. `reported_at` is the moment of the site's newest report, `devices` what it said of its devices at `devices_at`.
    """

    v: Literal[1] = 1
    at: Epoch
    by: Name
    url: Text | None = None
    mesh: Name
    latency: LinkCount
    goodput: LinkCount
    reported_at: Epoch | None = None
    devices_at: Epoch | None = None
    devices: Annotated[tuple[DeviceRow, ...], Field(max_length=1000)] = ()


@dataclass(frozen=True, slots=True)
class StateRow:
    """A row: the bytes of each column by its part and name, as COLUMNS has them."""

    head: StateRowHead
    columns: Mapping[tuple[str, str], bytes]


def encode_state_row(row: StateRow) -> bytes:
    """The payload of a row."""
    body = b"".join(row.columns[part, name] for part, name, _ in _layout(row.head))
    return encode(row.head) + b"\n" + zlib.compress(body, 1)


def decode_state_row(payload: bytes) -> StateRow:
    """Decode a row. Raises MessageError: `malformed` for other bytes, `impossible` for a head that cannot be."""
    text, line_end, packed = payload.partition(b"\n")
    if not line_end or len(text) > MAX_HEAD_BYTES:
        raise MessageError("malformed", "no head")
    head = decode(StateRowHead, text)
    layout = list(_layout(head))
    body = _unpacked(packed, sum(size for *_, size in layout))
    columns, start = {}, 0
    for part, name, size in layout:
        columns[part, name] = body[start : start + size]
        start += size
    return StateRow(head, columns)


def _layout(head: StateRowHead) -> Iterator[tuple[str, str, int]]:
    """Each column's part, name and size in bytes."""
    for part, count in (("latency", head.latency), ("goodput", head.goodput)):
        for name, (_, size) in COLUMNS[part].items():
            yield part, name, size * count


def _unpacked(packed: bytes, size: int) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        body = unpacking.decompress(packed, size + 1)  # 0 would be no limit
    except zlib.error as error:
        raise MessageError("malformed", str(error)) from None
    if len(body) != size or not unpacking.eof or unpacking.unused_data:
        raise MessageError("malformed", f"the columns are not {size} bytes")
    return body
