"""The answers about all links as JSON, in pieces: what a thread makes of a table while the state moves on. Pure.

A room of its own, as the table's other readers make messages of it, and these none.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import NoneType
from typing import Any, Final

from pydantic_core import to_json

from collector.linkstate.link_answers import FIELDS, SLICE_LINKS, LinkTable

_COLUMN_SLICE: Final = 16 * SLICE_LINKS


def link_rows_json(table: LinkTable) -> Iterator[bytes]:
    """An object a link, in the mesh's order: a list of LinkAnswer."""
    yield b"["
    for start in range(0, len(table), SLICE_LINKS):
        yield (b"," if start else b"") + b",".join(_objects(table, slice(start, start + SLICE_LINKS)))
    yield b"]"


def _objects(table: LinkTable, links: slice) -> Iterator[bytes]:
    """The links' objects: a form that has their common nulls, filled with each link's values."""
    texts = {name: _texts(table.values(name, links)) for name in FIELDS if table.has(name, links)}
    fields = (b'"%s":%s' % (name.encode(), b"%b" if name in texts else b"null") for name in FIELDS)
    form = b"{" + b",".join(fields) + b"}"
    return map(form.__mod__, zip(*texts.values(), strict=True))


def _texts(values: list[Any]) -> list[bytes]:
    """Each value as JSON."""
    kinds = set(map(type, values))
    if kinds <= {float, int, bool, NoneType}:
        return to_json(values)[1:-1].split(b",")
    known = {value: to_json(value) for value in set(values)} if kinds <= {str, NoneType} else None
    return list(map(to_json, values)) if known is None else [known[value] for value in values]


def link_columns_json(table: LinkTable) -> Iterator[bytes]:
    """A column a field of LinkAnswer, of those that any link has; `src` and `dst` are positions in `sites`."""
    at = datetime.fromtimestamp(table.at, UTC).isoformat().encode()
    yield b'{"at":"%s","sites":%s,"columns":{"src":' % (at, to_json(table.sites))
    yield to_json(table.src.tolist()) + b',"dst":' + to_json(table.dst.tolist())
    for name in FIELDS[2:]:
        if table.has(name):
            yield b',"%s":[' % name.encode()
            for start in range(0, len(table), _COLUMN_SLICE):
                yield (b"," if start else b"") + to_json(table.values(name, slice(start, start + _COLUMN_SLICE)))[1:-1]
            yield b"]"
    yield b"}}"
