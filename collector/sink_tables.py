"""The `[sinks.NAME]` tables of collector.toml: each is checked by the settings of its kind, found through the door.

A room of its own, since it is where names of sinks become types: the settings know none of them, and the door should
not be loaded with pydantic's insides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SerializeAsAny
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from linkweather import plugins
from linkweather.sink import SinkSettings

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("1 to 32 of a–z, 0–9, - and _, and start with a letter or digit")
    return value


def _with_kinds(value: Any) -> Any:
    """Without `kind`, a sink's name says it."""
    if not isinstance(value, dict):
        return value
    return {name: {"kind": name, **table} if isinstance(table, dict) else table for name, table in value.items()}


def check_kind(table: dict[str, Any], kinds: Sequence[str]) -> None:
    """Raise ValidationError for a table whose `kind` is none of these."""
    if table.get("kind") not in kinds:
        allowed = " or ".join([", ".join(map(repr, kinds[:-1])), repr(kinds[-1])])
        wrong = PydanticCustomError("no_such_kind", "must be {allowed}", {"allowed": allowed})
        error = InitErrorDetails(type=wrong, loc=("kind",), input=table.get("kind"))
        raise ValidationError.from_exception_data("table", [error])


def _checked(table: Any) -> Any:
    if not isinstance(table, dict):
        return table
    check_kind(table, plugins.names(plugins.SINKS))
    settings: type[SinkSettings] = plugins.load(plugins.SINKS, table["kind"])
    # pydantic puts our place before that of an error found here.
    return settings.model_validate(table, extra="forbid")


TableName = Annotated[str, AfterValidator(_name)]
SinkTables = Annotated[
    dict[TableName, Annotated[SerializeAsAny[SinkSettings], BeforeValidator(_checked)]], BeforeValidator(_with_kinds)
]
