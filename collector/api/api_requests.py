"""Reads requests and answers errors: parameters, bodies with a bound, and one form for every error."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from linkweather.errors import LinkweatherError, NoSuchSiteError, UnitError
from linkweather.mesh import Mesh
from linkweather.models.state import ErrorAnswer

Value = TypeVar("Value")
_SEVERAL = frozenset({"avoid", "kind"})  # parameters that may be given again
_FOLDERS = re.compile(r"(?<![\w:/.~-])~?/(?:[^\s'\",:;/]+/)+")  # but not those of a URL


class ApiError(LinkweatherError):
    """Ends a request with a status and one sentence; `field` is the parameter or key that the sentence is about."""

    def __init__(
        self, status: int, sentence: str, field: str | None = None, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.answer = ErrorAnswer(error=sentence, field=field)
        self.headers = headers


def without_folders(text: str) -> str:
    """A sentence for callers: its files have names, and where they lie is the operator's affair."""
    return _FOLDERS.sub("", text)


def read_parameter(name: str, parse: Callable[..., Value], text: str, *more: Any) -> Value:
    """Parse a parameter. Raises ApiError with the parser's sentence."""
    try:
        return parse(text, *more)
    except UnitError as error:
        raise ApiError(422, f"{name} = {error}", name) from None


def site_id(mesh: Mesh, field: str, name: str, status: int = 404) -> str:
    """The id of the site that `name` names, by id or compute_id. Raises ApiError."""
    try:
        return mesh.site_id(name)
    except NoSuchSiteError as error:
        raise ApiError(status, f"{field} = {name!r}: {error}", field) from None


async def refuse_repeated(request: Request) -> None:
    """Raises ApiError for a parameter that is given again, of which all but one would be passed over in silence."""
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if times > 1 and name not in _SEVERAL:
            raise ApiError(422, f"{name}: is given {times} times; give it once", name)


async def read_body(request: Request, limit_bytes: int, what: str, field: str | None = None) -> bytes:
    """The body, as long as it has at most `limit_bytes`. Raises ApiError: `{what} may have at most …`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise ApiError(413, f"{what} may have at most {limit_bytes} bytes", field)
    return bytes(body)


def answer_errors(app: FastAPI) -> None:
    """Give every error of the application the form of ErrorAnswer."""
    app.exception_handler(ApiError)(_answer_api_error)
    app.exception_handler(RequestValidationError)(_answer_invalid)
    app.exception_handler(HTTPException)(_answer_http)


def error_answer(error: ApiError) -> Response:
    """The answer that an error stands for."""
    return _error(error.status, error.answer, error.headers)


async def _answer_api_error(_: Request, error: ApiError) -> Response:
    return error_answer(error)


async def _answer_invalid(_: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part not in {"query", "path", "body"} and part != 0)
    what = f"{field} = {first['input']!r}" if field and first["type"] != "missing" else field or "the request"
    return _error(422, ErrorAnswer(error=f"{what}: {first['msg'][:1].lower()}{first['msg'][1:]}", field=field or None))


async def _answer_http(request: Request, error: HTTPException) -> Response:
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = {"Allow": ", ".join(sorted(_methods(request)))}
        if request.method == "OPTIONS":
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=allowed)
        error.headers = allowed
    sentence = f"{request.method} {request.url.path}: {error.detail.lower()}; see /docs"
    return _error(error.status_code, ErrorAnswer(error=sentence), error.headers)


def _methods(request: Request) -> set[str]:
    """What the path takes, in all of its operations: the router's own answer names only the first one's."""
    matching = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    methods = {method for route in matching for method in getattr(route, "methods", None) or ()}
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


def answer_crash(error: Exception) -> Response:
    """The answer to a request that met a fault of ours, which the log explains."""
    return _error(500, ErrorAnswer(error=f"the collector failed ({type(error).__name__}); its log says where"))


def _error(status: int, answer: ErrorAnswer, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(answer.model_dump(mode="json"), status_code=status, headers=headers)
