"""One InfluxDB or VictoriaMetrics, through influxdb-client: lines go in, or the reason why not comes out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from collector.settings import InfluxSettings
from linkweather.errors import LinkweatherError, OperatorError

TOKEN_VARIABLE = "LINKWEATHER_INFLUX_TOKEN"  # noqa: S105 - the name of a variable
PASSWORD_VARIABLE = "LINKWEATHER_INFLUX_PASSWORD"  # noqa: S105 - the name of a variable
_SHOWN_CHARACTERS = 300


class WriteError(LinkweatherError):
    """The server did not take a write. `status` is HTTP's, 0 when there was no answer."""

    def __init__(self, status: int, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


class Server:
    """Writes lines. Every call blocks; raises WriteError. A missing database of InfluxDB 1.x is created."""

    def __init__(self, settings: InfluxSettings) -> None:
        self._database = settings.database
        self._path = "/write" if settings.database else "/api/v2/write"
        self._query = (
            {"db": settings.database, "precision": "ns"}
            if settings.database
            else {"bucket": settings.bucket, "org": settings.org, "precision": "ns"}
        )
        self._client = InfluxDBClient(
            url=settings.url,
            token=_credentials(settings),
            org=settings.org,
            auth_basic=bool(settings.database and settings.username),
            timeout=round(settings.timeout_s * 1000),
        )

    def write(self, lines: list[str]) -> None:
        """Write lines with times in nanoseconds; the same series and time again changes nothing."""
        try:
            self._post(self._path, self._query, "\n".join(lines))
        except WriteError as error:
            if self._database is None or error.status != 404:
                raise
            self._create_database()
            self._post(self._path, self._query, "\n".join(lines))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _create_database(self) -> None:
        name = str(self._database).replace("\\", "\\\\").replace('"', '\\"')
        self._post("/query", {"q": f'CREATE DATABASE "{name}"'}, "")

    def _post(self, path: str, query: Mapping[str, str | None], body: str) -> None:
        try:
            self._client.api_client.call_api(
                path,
                "POST",
                query_params=list(query.items()),
                header_params={"Content-Type": "text/plain; charset=utf-8"},
                body=body.encode(),
            )
        except ApiException as error:
            raise WriteError(error.status, _reason(error), _retry_after_s(error)) from None
        except (HTTPError, OSError) as error:
            raise WriteError(0, f"no answer ({type(error).__name__})") from None


def _credentials(settings: InfluxSettings) -> str:
    if settings.database:
        if not settings.username:
            return ""
        return f"{settings.username}:{settings.password or os.environ.get(PASSWORD_VARIABLE, '')}"
    if settings.token_file:
        try:
            return Path(settings.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise OperatorError(f"influx.token_file = {settings.token_file!r}: cannot be read") from None
    return settings.token or os.environ.get(TOKEN_VARIABLE, "")


def _reason(error: Any) -> str:
    """The server's own words: `error` in 1.x, `message` in 2.x, else the start of what it said."""
    body = error.body or b""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    try:
        told = json.loads(text)
        text = str(told.get("error") or told.get("message") or text)
    except (ValueError, AttributeError):
        pass  # not an object of JSON: its text is the reason
    return f"{error.status} {error.reason}: {text.strip()[:_SHOWN_CHARACTERS]}"


def _retry_after_s(error: Any) -> float | None:
    # RFC 9110 §10.2.3: seconds; its other form, a date, is not worth a clock here.
    value = (error.headers or {}).get("Retry-After", "")
    return float(value) if value.isdecimal() else None
