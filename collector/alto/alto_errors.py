"""ALTO's own errors (RFC 7285 §8.5.2): a code, and the field and value that it is about."""

from __future__ import annotations

import json
from typing import Any


class AltoError(Exception):
    """The client's mistake; it becomes HTTP 400 with `document`."""

    def __init__(self, code: str, **details: str) -> None:
        super().__init__(code)
        self.document = {"meta": {"code": code, **details}}


class TooMuchError(Exception):
    """What is asked for at once is more than the server answers; it becomes HTTP 413."""


def syntax(text: str) -> AltoError:
    """The body is no JSON object; `text` says where and why, for developers."""
    return AltoError("E_SYNTAX", **{"syntax-error": text})


def missing(field: str) -> AltoError:
    """A required field is missing; `field` is its full path."""
    return AltoError("E_MISSING_FIELD", field=field)


def wrong_type(field: str) -> AltoError:
    """A field has a value of the wrong type."""
    return AltoError("E_INVALID_FIELD_TYPE", field=field)


def invalid(field: str, *value: Any) -> AltoError:
    """A field has a wrong value; `value`, where one is given, is told as a string, which RFC 7285 demands."""
    error = AltoError("E_INVALID_FIELD_VALUE", field=field)
    for one in value:
        error.document["meta"]["value"] = one if isinstance(one, str) else json.dumps(one)
    return error
