"""Who may ask, and who may change things: names of hosts, tokens, the collector's own socket, and types of bodies.

Whoever asks over the collector's own Unix socket is its user, or root, and may do everything. By TCP, from this machine
or another, writing needs a write token; reading needs a token where the settings, or a read token, say so.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.api.api_requests import ApiError, error_answer
from collector.api.tokens import TokenFile, TokenScope, now_utc
from collector.settings import ApiSettings, is_address, is_loopback
from linkweather.errors import OperatorError
from linkweather.models.state import ErrorAnswer

Grant = Literal["nothing", "read", "write"]
GRANT: Final = "linkweather.grant"  # where an ASGI scope has it
LOCAL: Final = "local"  # of an ASGI scope's state: the connection came over the collector's own socket
FORBIDDEN: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorAnswer, "description": "Needs a write token, or the collector's own socket"},
    403: {"model": ErrorAnswer, "description": "The token is for reading only"},
}
# They say nothing of the mesh: a browser, which sends no token, and a supervisor may see them.
OPEN_PATHS: Final = frozenset({"/", "/docs", "/openapi.json", "/healthz"})
ANY_HOST: Final = "*"
_JSON: Final = "application/json"
BODY_TYPES: Final[Mapping[str, str]] = {"/api/v1/mesh": "application/toml"}
_OWN_BODY_TYPES: Final = "/alto"  # checks its own, of RFC 7285
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(:\d{1,5})?")
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="linkweather"'}


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Who is let in. `own_token` is that of `token_file`, for writing; `hosts` the names that the API is known by.

    `reading_needs_token` None means: as soon as there is a token for reading.
    """

    tokens: TokenFile | None = None
    own_token: str | None = None
    hosts: frozenset[str] = frozenset()
    reading_needs_token: bool | None = None

    @classmethod
    def of(cls, settings: ApiSettings, tokens: TokenFile, names: Iterable[str]) -> Self:
        """The rules of the settings; `names` are further ones of this host. Raises OperatorError, as `read_token`."""
        return cls(
            tokens=tokens,
            own_token=read_token(settings.token_file) if settings.token_file else None,
            hosts=frozenset(name.lower() for name in (settings.host, *settings.hosts, *names)),
            reading_needs_token=settings.reading_needs_token,
        )

    def grant(self, headers: Headers, *, may_read: bool) -> Grant:
        """What the token of a question lets it do. Raises ApiError for a wrong one, and where one is missing."""
        given = headers.get("authorization")
        if given is not None:
            scope = self._scope(given)
            if scope is None:
                raise ApiError(401, "the token is not known, or revoked", headers=_CHALLENGE)
            return scope
        if self._reading_needs_one and not may_read:
            raise ApiError(401, "a token is needed: Authorization: Bearer …", headers=_CHALLENGE)
        return "nothing"

    def check_host(self, host: str) -> None:
        """Raise ApiError for a name that is none of ours: a web page came by a name of its own (DNS rebinding)."""
        found = _HOST.fullmatch(host)
        if found is None:
            raise ApiError(400, "Host: is no host name")
        name = found["name"].lower().rstrip(".")
        if ANY_HOST in self.hosts or name in self.hosts or name == "localhost" or is_address(name):
            return
        raise ApiError(421, f"Host = {name!r}: the collector does not answer by this name; [api] hosts has those")

    @property
    def _reading_needs_one(self) -> bool:
        if self.reading_needs_token is None:
            return self.tokens is not None and self.tokens.reading_needs_one
        return self.reading_needs_token

    def _scope(self, given: str) -> TokenScope | None:
        kind, _, text = given.partition(" ")
        if kind.lower() != "bearer":
            return None
        if self.own_token is not None and hmac.compare_digest(text.encode(), self.own_token.encode()):
            return "write"
        return self.tokens.scope_of(text, now_utc()) if self.tokens else None


class AccessControl:
    """Lets in by the rules, as plain ASGI: before any operation reads a parameter or a body."""

    def __init__(self, app: ASGIApp, rules: AccessRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            try:
                scope = {**scope, GRANT: self._admitted(scope)}
            except ApiError as error:
                await error_answer(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admitted(self, scope: Scope) -> Grant:
        headers = Headers(scope=scope)
        check_body_type(scope["path"], headers)
        if scope.get("state", {}).get(LOCAL):
            # Our own page asks on behalf of viewers, to whom only a token gives more than reading.
            return self._rules.grant(headers, may_read=True) if "x-forwarded-for" in headers else "write"
        self._rules.check_host(headers.get("host", ""))
        return self._rules.grant(headers, may_read=scope["path"] in OPEN_PATHS)


def guarded(what: str) -> Any:
    """A dependency of an operation that changes `what`; it raises ApiError for who may not."""

    def allowed(request: Request) -> None:
        grant = request.scope.get(GRANT, "nothing")
        if grant == "read":
            raise ApiError(403, f"{what} may not be changed with a token for reading")
        if grant != "write":
            sentence = f"{what} may be changed with a write token, or over the collector's own socket by its user"
            raise ApiError(401, sentence, headers=_CHALLENGE)

    return Depends(allowed)


def check_body_type(path: str, headers: Headers) -> None:
    """Raise ApiError for a body of a type that is not asked for: a form of a web page can send three others."""
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    wanted = BODY_TYPES.get(path, _JSON)
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != wanted and not path.startswith(_OWN_BODY_TYPES):
        raise ApiError(415, f"Content-Type: must be {wanted}")


def refuse_exposed(settings: ApiSettings, *, any_token: bool) -> None:
    """Raise OperatorError where other machines would reach an API without a token, or without TLS."""
    if settings.insecure or is_loopback(settings.host):
        return
    missing = [
        *(["no token (`linkweather token add`)"] if not any_token else ()),
        *(["no TLS (cert_file and key_file)"] if settings.cert_file is None else ()),
    ]
    if missing:
        raise OperatorError(
            f"api.host = {settings.host!r}: other machines reach it, and there is {' and '.join(missing)}: "
            "add what is missing, or say insecure = true, or --insecure"
        )


def read_token(path: Path) -> str:
    """The token of `token_file`, which admits to writing. Raises OperatorError for a file without one."""
    try:
        token = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise OperatorError(f"api.token_file = '{path}': cannot be read: {error.strerror}") from None
    if not token:
        raise OperatorError(f"api.token_file = '{path}': is empty; a token was expected")
    return token
