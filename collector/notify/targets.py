"""How a message leaves: by Apprise, by a command of the operator's, or to Alertmanager. Each blocks, in a thread."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from collector.named_tables import AlertmanagerTable, AppriseTable, CommandTable, NotifyTable
from collector.notify.digest import Notification
from linkweather.errors import OperatorError
from linkweather.models.incidents import IncidentAnswer

HTTP_TIMEOUT_S = 15.0
# Alertmanager takes a firing alert for resolved when it was not sent again for so many repetitions.
_REPEATS_UNTIL_RESOLVED = 4

Send = Callable[[Notification], str | None]
"""Delivers a message and returns None, or what went wrong in one sentence."""


def sender(name: str, table: NotifyTable) -> Send:
    """How this target is reached. Raises OperatorError for what can never work."""
    makers: Mapping[type[Any], Callable[[str, Any], Send]] = {
        AppriseTable: _apprise,
        CommandTable: _command,
        AlertmanagerTable: _alertmanager,
    }
    return makers[type(table)](name, table)


def _apprise(name: str, table: AppriseTable) -> Send:
    try:
        import apprise  # noqa: PLC0415 - only who configures it needs it
    except ModuleNotFoundError:
        raise OperatorError(f"notify.{name}: needs the package apprise: pip install linkweather[notify]") from None
    service = apprise.Apprise()
    for number, url in enumerate(_urls(name, table), 1):
        if not service.add(url):  # a URL holds a password: it is not repeated
            raise OperatorError(f"notify.{name}: URL {number} is none that Apprise knows")

    def send(message: Notification) -> str | None:
        done = service.notify(title=message.subject, body=message.body, body_format=apprise.NotifyFormat.TEXT)
        return None if done else "at least one of its URLs did not take the message"

    return send


def _urls(name: str, table: AppriseTable) -> list[str]:
    urls = list(table.urls)
    if table.urls_file is not None:
        try:
            lines = table.urls_file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise OperatorError(f"notify.{name}: urls_file {table.urls_file}: cannot be read: {error}") from None
        urls += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not urls:
        raise OperatorError(f"notify.{name}: urls or urls_file must name at least one URL")
    return urls


def _command(_name: str, table: CommandTable) -> Send:
    def send(message: Notification) -> str | None:
        document = {
            "subject": message.subject,
            "body": message.body,
            "incidents": [one.model_dump(mode="json", exclude_none=True) for one in message.incidents],
        }
        try:
            done = subprocess.run(
                table.command,
                input=json.dumps(document).encode(),
                capture_output=True,
                timeout=table.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{table.command[0]} did not end within {table.timeout_s:g} s"
        except OSError as error:
            return f"{table.command[0]} cannot be run: {error.strerror}"
        return None if done.returncode == 0 else f"{table.command[0]} ended with status {done.returncode}"

    return send


def _alertmanager(_name: str, table: AlertmanagerTable) -> Send:
    import httpx  # noqa: PLC0415 - 15 MB that only who configures it needs

    url = f"{table.url.rstrip('/')}/api/v2/alerts"
    ends_after = timedelta(seconds=_REPEATS_UNTIL_RESOLVED * table.repeat_s)

    def send(message: Notification) -> str | None:
        try:
            answer = httpx.post(
                url,
                json=[_alert(one, ends_after) for one in message.incidents],
                timeout=HTTP_TIMEOUT_S,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            return f"{url} does not answer ({error})"
        return None if answer.is_success else f"{url} answers {answer.status_code}: {answer.text[:200]}"

    return send


def _alert(incident: IncidentAnswer, ends_after: timedelta) -> Mapping[str, Any]:
    ends_at: datetime = incident.until or datetime.now(incident.since.tzinfo) + ends_after
    return {
        "labels": {
            "alertname": f"linkweather_{incident.kind}",
            "severity": incident.severity,
            "cause": incident.cause,
            "incident": incident.id,
        },
        "annotations": {"summary": incident.sentence, "description": "; ".join(incident.routes)},
        "startsAt": incident.since.isoformat(),
        "endsAt": ends_at.isoformat(),
    }
