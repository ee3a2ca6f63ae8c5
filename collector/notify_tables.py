"""The `[notify.NAME]` tables of collector.toml: who is told of incidents, of which, and how soon. Imports no engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SerializeAsAny

from collector.sink_tables import TableName, check_kind
from linkweather.mesh import FilePath, NotNegative, Positive, Settings, SiteId, Tuple
from linkweather.models.incidents import Severity

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


def _checked(table: Any) -> Any:
    if not isinstance(table, dict):
        return table
    check_kind(table, tuple(KINDS))
    return KINDS[table["kind"]].model_validate(table, extra="forbid")


NotifyTables = dict[TableName, Annotated[SerializeAsAny[NotifyTable], BeforeValidator(_checked)]]
