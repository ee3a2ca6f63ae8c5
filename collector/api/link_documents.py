"""The answers about all links as JSON, in pieces: what a thread makes of a table while the state moves on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import numpy as np
from pydantic_core import to_json

from collector.api.json_objects import json_objects, number
from collector.linkstate.link_answers import COUNTS, FIELDS, TRUTHS, LinkTable

_SLICE: Final = 4000  # links whose column is encoded in one go: others have their turn in between
_VALUES: Final = {"figures", "since", "degraded_by", "traffic_relays"}  # no numbers, and no texts
_TYPES: Final = dict.fromkeys(COUNTS, "BIGINT") | dict.fromkeys(TRUTHS, "BOOLEAN")


def link_rows_json(table: LinkTable) -> Iterator[bytes]:
    """An object a link, in the mesh's order: a list of LinkAnswer."""
    columns = {name: table.column(name) for name in FIELDS if table.has(name)}
    fields = {name: number(name, _TYPES.get(name, "DOUBLE")) if name in columns else "NULL" for name in FIELDS}
    for name, column in columns.items():
        if name in _VALUES:
            columns[name] = np.array([None if value is None else to_json(value).decode() for value in column], object)
            fields[name] = f'"{name}"::JSON'
        elif column.dtype == object:
            fields[name] = f'"{name}"'
    yield b"["
    yield from json_objects(columns, fields)
    yield b"]"


def link_columns_json(table: LinkTable) -> Iterator[bytes]:
    """A column a field of LinkAnswer, of those that any link has; `src` and `dst` are positions in `sites`."""
    at = datetime.fromtimestamp(table.at, UTC).isoformat().encode()
    yield b'{"at":"%s","sites":%s,"columns":{"src":' % (at, to_json(table.sites))
    yield to_json(table.src.tolist()) + b',"dst":' + to_json(table.dst.tolist())
    for name in FIELDS[2:]:
        if table.has(name):
            yield b',"%s":[' % name.encode()
            for start in range(0, len(table), _SLICE):
                yield (b"," if start else b"") + _listed(table, name, slice(start, start + _SLICE))[1:-1]
            yield b"]"
    yield b"}}"


def _listed(table: LinkTable, name: str, links: slice) -> bytes:
    if name in _TYPES:
        return to_json(table.values(name, links))
    return to_json(table.column(name, links).tolist(), inf_nan_mode="null")
