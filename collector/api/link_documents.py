"""The answers about all links as JSON, in pieces: what a thread makes of a table while the state moves on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic_core import to_json

from collector.api.row_texts import json_object, number, row_texts, text
from collector.linkstate.link_answers import COUNTS, FIELDS, TRUTHS, LinkTable

_SLICE: Final = 4000  # links whose column is encoded in one go: others have their turn in between
_VALUES: Final = {"figures", "since", "degraded_by", "traffic_relays"}  # no numbers, and no texts
_TYPES: Final = dict.fromkeys(COUNTS, "BIGINT") | dict.fromkeys(TRUTHS, "BOOLEAN")


def link_rows_json(table: LinkTable) -> Iterator[bytes]:
    """An object a link, in the mesh's order: a list of LinkAnswer."""
    columns = {name: table.column(name) for name in FIELDS if table.has(name)}
    fields = {name: _field(name, column) for name, column in columns.items()}
    for name in _VALUES & columns.keys():
        columns[name], fields[name] = _encoded(columns[name]), f'"{name}"'
    yield b"["
    yield from row_texts(columns, json_object({name: fields.get(name) for name in FIELDS}), b",")
    yield b"]"


def _field(name: str, column: npt.NDArray[Any]) -> str:
    """The SQL of a field's JSON."""
    return text(name) if column.dtype == object else number(name, _TYPES.get(name, "DOUBLE"))


def _encoded(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Objects as JSON, None as None; one that many links have, such as a moment, is encoded once."""
    distinct = {id(value): value for value in column}
    texts = {key: None if value is None else to_json(value).decode() for key, value in distinct.items()}
    return np.fromiter((texts[id(value)] for value in column), object, len(column))


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
