"""What stands before every operation of the API, as plain ASGI: HEAD as GET, rates, containment, security headers.

A room of its own, as it deals in ASGI messages where the others deal in requests and answers.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.api.access import LOCAL
from collector.api.api_requests import ApiError, answer_crash, error_answer
from collector.api.request_rates import RequestRates
from linkweather.containment import note, note_overflow

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",  # of /docs
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
REFUSED_AFTER_S: Final = 1.0


class RequestLimit:
    """Answers 429 to an address that asks faster than `rates`; the collector's own socket may ask as it likes.

    The refusal comes after a while: who asks again at once, on the few connections of an address, costs little then.
    """

    def __init__(self, app: ASGIApp, rates: RequestRates) -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        wait_s = self._wait_s(scope)
        if wait_s == 0.0:
            await self._app(scope, receive, send)
            return
        note_overflow("requests")
        await asyncio.sleep(REFUSED_AFTER_S)
        seconds = math.ceil(wait_s)
        sentence = f"too many requests from this address: try again in {seconds} s; [api] requests_per_s has the limit"
        await error_answer(ApiError(429, sentence, headers={"Retry-After": str(seconds)}))(scope, receive, send)

    def _wait_s(self, scope: Scope) -> float:
        client = scope.get("client")
        if scope["type"] != "http" or client is None or scope.get("state", {}).get(LOCAL):
            return 0.0
        return self._rates.wait_s(client[0], asyncio.get_running_loop().time())


class ContainedApi:
    """A fault of ours costs the caller that met it: an answer 500, or a cut one where it had begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 - it costs this caller
            note("api", error)
            if not started:  # else the server closes the connection, as the answer is not complete
                await answer_crash(error)(scope, receive, send)


class HeadAsGet:
    """RFC 9110 §9.3.2: HEAD is GET without the content, also of a stream, which then ends at once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        started, asked = asyncio.Event(), False

        async def receiving() -> Message:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await started.wait()
            return {"type": "http.disconnect"}

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                started.set()

        await self._app({**scope, "method": "GET"}, receiving, sending)


class SecurityHeaders:
    """Has browsers run nothing that an answer contains, frame none, guess no type and, unless it says so, keep none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sending)
