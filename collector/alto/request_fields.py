"""Request bodies: JSON objects whose fields are read by name and type; errors name the field. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from collector.alto import alto_protocol as alto


def parse(body: bytes) -> Fields:
    """Parse a body as an object. Raises AltoError E_SYNTAX."""
    try:
        found = json.loads(body, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise alto.syntax(f"not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise alto.syntax(str(error)) from None
    except RecursionError:
        raise alto.syntax("nested too deeply") from None
    if not isinstance(found, dict):
        raise alto.syntax("line 1 column 1: an object was expected")
    return Fields(found)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


@dataclass(frozen=True, slots=True)
class Fields:
    """One object of a request. Fields that are never read are ignored (RFC 7285 §8.3.7)."""

    values: Mapping[str, Any]
    path: str = ""

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def name(self, key: str) -> str:
        """The full path of a field, as errors name it: `cost-type/cost-metric`."""
        return f"{self.path}/{key}" if self.path else key

    def require(self, key: str) -> Any:
        """The value of a required field."""
        if key not in self.values:
            raise alto.missing(self.name(key))
        return self.values[key]

    def text(self, key: str) -> str:
        """A required string."""
        value = self.require(key)
        if not isinstance(value, str):
            raise alto.wrong_type(self.name(key))
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """An optional boolean."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise alto.wrong_type(self.name(key))
        return value

    def object(self, key: str) -> Fields:
        """A required object."""
        value = self.require(key)
        if not isinstance(value, dict):
            raise alto.wrong_type(self.name(key))
        return Fields(value, self.name(key))

    def array(self, key: str) -> list[Any]:
        """A required array."""
        value = self.require(key)
        if not isinstance(value, list):
            raise alto.wrong_type(self.name(key))
        return value

    def texts(self, key: str) -> list[str]:
        """An array of strings, each once; empty when it is absent.

        RFC 7285 §8.5.2: an element of the wrong type is an invalid value, not an invalid type.
        """
        return list(dict.fromkeys(self._elements(key, str))) if key in self.values else []

    def objects(self, key: str) -> list[Fields]:
        """A required array of objects."""
        return [Fields(value, self.name(key)) for value in self._elements(key, dict)]

    def _elements(self, key: str, kind: type) -> list[Any]:
        values = self.array(key)
        for value in values:
            if not isinstance(value, kind):
                raise alto.invalid(self.name(key), value)
        return values
