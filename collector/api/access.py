"""Who may change things: programs on the collector's own machine, and who has its token.

A room of its own, since the mesh and the sinks' refused rows are guarded alike.
"""

from __future__ import annotations

import hmac
import ipaddress
from pathlib import Path
from typing import Any

from fastapi import Depends, Request

from collector.api.api_requests import ApiError
from linkweather.errors import OperatorError
from linkweather.models.state import ErrorAnswer

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
FORBIDDEN: dict[int | str, dict[str, Any]] = {
    403: {"model": ErrorAnswer, "description": "Not allowed from this machine"}
}


def guarded(token: str | None, what: str) -> Any:
    """A dependency of an operation that changes `what`; it raises ApiError for who may not."""

    def allowed(request: Request) -> None:
        if not (_is_local(request) or _has_token(request, token)):
            raise ApiError(403, f"{what} may be changed from the collector's own machine, or with its token")

    return Depends(allowed)


def _is_local(request: Request) -> bool:
    """Whether a program on this machine asks: directly, not through a proxy, and by a loopback name.

    A web page can make a browser on this machine ask under the page's own host name (DNS rebinding).
    """
    if request.client is None or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    name = request.headers.get("host", "")
    name = name if name.endswith("]") else name.rpartition(":")[0] or name
    return ipaddress.ip_address(request.client.host).is_loopback and name in LOCAL_NAMES


def _has_token(request: Request, token: str | None) -> bool:
    if token is None:
        return False
    given = request.headers.get("authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


def read_token(path: Path) -> str:
    """The token that admits meshes from other machines. Raises OperatorError for a file without one."""
    try:
        token = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise OperatorError(f"api.token_file = '{path}': cannot be read: {error.strerror}") from None
    if not token:
        raise OperatorError(f"api.token_file = '{path}': is empty; a token was expected")
    return token
