"""The sink `influx`: rows as points of InfluxDB or VictoriaMetrics, through influxdb-client.

A point that is written again replaces itself.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future
from itertools import chain
from pathlib import Path
from typing import Any

from influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from collector.sinks import line_protocol
from collector.sinks.builtin import InfluxSettings
from collector.sinks.influx_answers import InfluxAnswer, PartlyTaken, meaning, no_answer, words_of
from linkweather.errors import OperatorError
from linkweather.sink import RowBatch, RowRefusal, SinkAwayError, SinkError, SinkSetupError

TOKEN_VARIABLE = "LINKWEATHER_INFLUX_TOKEN"  # noqa: S105 - the name of a variable
PASSWORD_VARIABLE = "LINKWEATHER_INFLUX_PASSWORD"  # noqa: S105 - the name of a variable
MANY_ROWS = 1000

Lines = list[tuple[int, str]]  # each with its row's number


class InfluxSink:
    """Writes batches as points. Raises OperatorError at construction for a token file that cannot be read."""

    def __init__(self, settings: InfluxSettings, name: str) -> None:
        self._server = InfluxServer(settings, name)
        self._integers = settings.integer_fields
        self._closed: Future[Sequence[RowRefusal]] = Future()

    def write(self, batch: RowBatch) -> list[RowRefusal]:
        """Write a batch, a long one by two posts at once: a server handles each on a processor of its own."""
        columns = batch.columns()
        found = zip(
            columns["number"].tolist(),
            line_protocol.lines(batch.kind, columns, integers=self._integers),
            strict=True,
        )
        lines = [(number, text) for number, text in found if text is not None]
        half = len(lines) // 2 if len(lines) >= MANY_ROWS else len(lines)
        posts = [self._started(part) for part in (lines[:half], lines[half:]) if part]
        # All are waited for, whatever becomes of one: the next attempt must not overtake them.
        for post in posts:
            futures.wait((post, self._closed), return_when=futures.FIRST_COMPLETED)
        if self._closed.done():
            raise SinkAwayError("the collector ends")
        return list(chain.from_iterable(post.result() for post in posts))

    def close(self) -> None:
        """Close the connections; a post that hangs is left to its thread, which holds nothing but its lines."""
        if not self._closed.done():
            self._closed.set_result(())
        self._server.close()

    def _started(self, lines: Lines) -> Future[Sequence[RowRefusal]]:
        """A post in a thread that no end waits for, unlike those of concurrent.futures."""
        post: Future[Sequence[RowRefusal]] = Future()

        def run() -> None:
            try:
                post.set_result(self._post(lines))
            except BaseException as error:  # noqa: BLE001 – raised where the result is asked for
                post.set_exception(error)

        threading.Thread(target=run, name="post", daemon=True).start()
        return post

    def _post(self, lines: Lines) -> list[RowRefusal]:
        taken = self._server.write([text for _, text in lines])
        if taken is None:
            return []
        return [RowRefusal(lines[0][0], lines[-1][0], taken.dropped, taken.reason, taken.beyond_retention)]


class InfluxServer:
    """Writes lines. Every call blocks; raises SinkError. A missing database of InfluxDB 1.x is created."""

    def __init__(self, settings: InfluxSettings, name: str) -> None:
        self._url = settings.url
        self._database = settings.database
        self._path = "/write" if settings.database else "/api/v2/write"
        self._query = (
            {"db": settings.database, "precision": "ns"}
            if settings.database
            else {"bucket": settings.bucket, "org": settings.org, "precision": "ns"}
        )
        self._credentials = Credentials(settings, name)
        self._client = InfluxDBClient(url=settings.url, token="", timeout=round(settings.timeout_s * 1000))

    def write(self, lines: Sequence[str]) -> PartlyTaken | None:
        """Write lines with times in nanoseconds; the same series and time again changes nothing.

        Returns what the server dropped of them, if it did.
        """
        body = "\n".join(lines)
        answer = self._post(self._path, self._query, body)
        if answer is not None and answer.status == 404 and self._database is not None:
            name = self._database.replace("\\", "\\\\").replace('"', '\\"')
            answer = self._post("/query", {"q": f'CREATE DATABASE "{name}"'}, "")
            answer = answer or self._post(self._path, self._query, body)
        if answer is None:
            return None
        if answer.status == 401:
            self._credentials.forget()
        found = meaning(answer)
        if isinstance(found, SinkError):
            raise found
        return found

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _post(self, path: str, query: Mapping[str, str | None], body: str) -> InfluxAnswer | None:
        """None for success, else the server's answer. Raises SinkError where there is none."""
        headers = {"Content-Type": "text/plain; charset=utf-8", **self._credentials.header()}
        try:
            self._client.api_client.call_api(
                path, "POST", query_params=list(query.items()), header_params=headers, body=body.encode()
            )
        except ApiException as error:
            if not error.status:  # influxdb-client has put TLS's failure into words
                raise no_answer(self._url, error.__context__ or error) from None
            body_ = error.body if isinstance(error.body, bytes) else str(error.body or "").encode()
            return InfluxAnswer(self._url, error.status, str(error.reason), words_of(body_), _retry_after_s(error))
        except (HTTPError, OSError) as error:
            raise no_answer(self._url, error) from None
        return None


class Credentials:
    """The Authorization header; a token file is read again when it changes, and after the server refused its token."""

    def __init__(self, settings: InfluxSettings, name: str) -> None:
        self._settings = settings
        self._read: tuple[object, str] | None = None
        try:
            self.header()
        except SinkSetupError as error:
            raise OperatorError(f"sinks.{name}.{error}") from None

    def header(self) -> dict[str, str]:
        """The header, or none. Raises SinkSetupError for a token file that cannot be read."""
        settings = self._settings
        if settings.database:
            if not settings.username:
                return {}
            pair = f"{settings.username}:{settings.password or os.environ.get(PASSWORD_VARIABLE, '')}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        token = self._file_token(settings.token_file) if settings.token_file else settings.token
        token = token or os.environ.get(TOKEN_VARIABLE, "")
        if not (token.isascii() and token.isprintable()):
            raise SinkSetupError("token: holds what no token has: line ends, or letters beyond ASCII")
        return {"Authorization": f"Token {token}"} if token else {}

    def forget(self) -> None:
        """Read the token file again at the next write."""
        self._read = None

    def _file_token(self, path: Path) -> str:
        try:
            found = path.stat()
            state = found.st_mtime_ns, found.st_size, found.st_ino
            if self._read is None or self._read[0] != state:
                self._read = state, path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise SinkSetupError(f"token_file = '{path}': cannot be read") from None
        return self._read[1]


def _retry_after_s(error: Any) -> float | None:
    # RFC 9110 §10.2.3: seconds; its other form, a date, is not worth a clock here.
    value = (error.headers or {}).get("Retry-After", "")
    return float(value) if value.isdecimal() else None
