"""Encoded reports, rewritten: split by rows to fit a broker's packets, and given another number.

A room of its own because an outbox rewrites what it once encoded, without the report's type in hand.
"""

from __future__ import annotations

from typing import Final

from pydantic_core import from_json, to_json

from linkweather.wire.messages import SplitFrom
from linkweather.wire.reports import ROWS

# A seq of as many digits as there can be: a part may get any number.
_LONGEST_SEQ: Final = 2**53


def split(kind: str, payload: bytes, max_bytes: int) -> list[bytes]:
    """The report as reports of at most `max_bytes` each, all with its number still; a row is never divided.

    A report that fits, or is none, is alone; with `max_bytes` 0 every row is.
    """
    if len(payload) <= max_bytes:
        return [payload]
    try:
        values = from_json(payload)
        rows = list(values[ROWS[kind]])
    except (ValueError, KeyError, TypeError):
        return [payload]
    room = max_bytes + 1 - len(to_json({**values, "seq": _LONGEST_SEQ, ROWS[kind]: []}))  # the last row has no comma
    parts: list[list[object]] = []
    used = room
    for row in rows:
        size = len(to_json(row)) + 1
        if used + size > room or not parts:
            parts.append([])
            used = 0
        parts[-1].append(row)
        used += size
    return [to_json({**values, ROWS[kind]: part}) for part in parts] or [payload]


def renumbered(payload: bytes, boot: str, seq: int, split_from: SplitFrom | None = None) -> bytes:
    """The report under another boot and number. Raises ValueError for what is no report."""
    values = {**from_json(payload), "boot": boot, "seq": seq}
    return to_json(values if split_from is None else {**values, "split_from": split_from.model_dump()})
