"""The tables of collector.toml that are named: `[sinks.NAME]` and `[notify.NAME]`, each of a kind. Imports no engine.

A sink's table is checked by the settings of its kind, found through the door. A target's says of which incidents it
is informed, and how soon.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from linkweather import plugins
from linkweather.mesh import FilePath, NotNegative, Positive, Settings, SiteId, Tuple
from linkweather.models.incidents import Severity
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


def _check_kind(table: dict[str, Any], kinds: Sequence[str]) -> None:
    """Raise ValidationError for a table whose `kind` is none of these."""
    if table.get("kind") not in kinds:
        allowed = " or ".join([", ".join(map(repr, kinds[:-1])), repr(kinds[-1])])
        wrong = PydanticCustomError("no_such_kind", "must be {allowed}", {"allowed": allowed})
        error = InitErrorDetails(type=wrong, loc=("kind",), input=table.get("kind"))
        raise ValidationError.from_exception_data("table", [error])


def _sink(table: Any) -> Any:
    if not isinstance(table, dict):
        return table
    _check_kind(table, plugins.names(plugins.SINKS))
    settings: type[SinkSettings] = plugins.load(plugins.SINKS, table["kind"])
    # pydantic puts our place before that of an error found here.
    return settings.model_validate(table, extra="forbid")


TableName = Annotated[str, AfterValidator(_name)]
SinkTables = Annotated[
    dict[TableName, Annotated[SerializeAsAny[SinkSettings], BeforeValidator(_sink)]],
    BeforeValidator(_with_kinds),
]


Words = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...], Tuple, Field(min_length=1)]


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
        raise ValueError("http://host:port or https://host:port")
    return value


class NotifyTable(Settings):
    """Which incidents a target is told of: those of at least this severity, that concern one of these sites.

    Notes are gathered for `gather_s` and sent as one message; then the next waits for `pause_s` at least.
    """

    kind: str = ""
    severity: Severity = "warning"
    sites: Annotated[tuple[SiteId, ...], Tuple] = ()
    gather_s: NotNegative = 10.0
    pause_s: NotNegative = 60.0

    def below(self, folder: Path) -> Self:
        """The same with every path made relative to `folder`."""
        return self.model_copy(update={name: folder / value for name, value in self if isinstance(value, Path)})


class AppriseTable(NotifyTable):
    """Mail, chat and a hundred other services by Apprise: `urls`, or a file with one a line, as they hold passwords."""

    kind: Literal["apprise"]
    urls: Annotated[tuple[str, ...], Tuple] = ()
    urls_file: FilePath | None = None


class CommandTable(NotifyTable):
    """A program that gets the message as JSON on its standard input; exit status 0 within `timeout_s` is delivered."""

    kind: Literal["command"]
    command: Words
    timeout_s: Positive = 30.0


class AlertmanagerTable(NotifyTable):
    """Prometheus' Alertmanager, which groups and routes itself: incidents that last are sent again every `repeat_s`."""

    kind: Literal["alertmanager"]
    url: Annotated[str, AfterValidator(_url)]
    gather_s: NotNegative = 0.0
    pause_s: NotNegative = 0.0
    repeat_s: Positive = 60.0


KINDS: Mapping[str, type[NotifyTable]] = {
    "alertmanager": AlertmanagerTable,
    "apprise": AppriseTable,
    "command": CommandTable,
}


def _target(table: Any) -> Any:
    if not isinstance(table, dict):
        return table
    _check_kind(table, tuple(KINDS))
    return KINDS[table["kind"]].model_validate(table, extra="forbid")


NotifyTables = dict[TableName, Annotated[SerializeAsAny[NotifyTable], BeforeValidator(_target)]]
