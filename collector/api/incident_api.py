"""The HTTP API's incidents: what is wrong, what was, and what people are not told of."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from pydantic_core import from_json

from collector.api.access import FORBIDDEN, guarded
from collector.api.api_requests import ApiError, read_body, read_parameter, site_id
from linkweather import settings
from linkweather.errors import BadValueError, UnitError
from linkweather.mesh import Mesh
from linkweather.models.incidents import (
    AcknowledgeRequest,
    IncidentsAnswer,
    SilenceAnswer,
    SilenceRequest,
)
from linkweather.models.state import ErrorAnswer
from linkweather.units import parse_moment, parse_period

INCIDENTS_MAX = 1000
SILENCE_BYTES_MAX = 10_000
LONGEST_SILENCE = timedelta(days=366)
Wanted = TypeVar("Wanted", AcknowledgeRequest, SilenceRequest)
Answer = Callable[[datetime, datetime, str | None, int], Awaitable[IncidentsAnswer]]


def add_incidents(app: FastAPI, now: Callable[[], float], mesh: Callable[[], Mesh], answer: Answer) -> None:
    """Add the answer; `answer` takes the span, the site and how many incidents."""

    @app.get("/api/v1/incidents")
    async def incidents(
        *,
        since: Annotated[str, Query(description="RFC 3339, or how long ago, such as 24h")] = "24h",
        until: Annotated[str, Query(description="RFC 3339, or how long ago, or now")] = "now",
        site: Annotated[str | None, Query(description="Of this site and its links alone")] = None,
        limit: Annotated[int, Query(ge=1, le=INCIDENTS_MAX, description="So many incidents at most")] = 100,
    ) -> IncidentsAnswer:
        """The incidents that last, and those of the span that are over: what, since when, and what explains it."""
        at = datetime.fromtimestamp(now(), UTC)
        start = read_parameter("since", parse_moment, since, at)
        end = read_parameter("until", parse_moment, until, at)
        named = None if site is None else site_id(mesh(), "site", site, 422)
        return await answer(start, end, named, limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceSources:
    """What keeps silences: `add` is false where there are too many, `remove` where there is none of this id.

    `lasting` are the incidents that last. `now` is in seconds since the epoch.
    """

    now: Callable[[], float]
    mesh: Callable[[], Mesh]
    lasting: Callable[[], Sequence[str]]
    silences: Callable[[], Sequence[SilenceAnswer]]
    add: Callable[[SilenceAnswer], Awaitable[bool]]
    remove: Callable[[str], Awaitable[bool]]


NO_SUCH: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "There is none of this id"}}
_BODY_SCHEMA = {"type": "object", "required": ["reason", "until"]}
_ACKNOWLEDGE = {"requestBody": {"required": True, "content": {"application/json": {"schema": _BODY_SCHEMA}}}}


def add_silences(app: FastAPI, sources: SilenceSources) -> None:
    """Add what acknowledges and silences."""
    only: Any = {"dependencies": [guarded("what people are told of")]}

    @app.get("/api/v1/silences")
    async def silences() -> Sequence[SilenceAnswer]:
        """What people are not told of now, until when and why, the oldest first."""
        return sources.silences()

    @app.post("/api/v1/silences", responses=FORBIDDEN, openapi_extra=_ACKNOWLEDGE, **only)
    async def silence(request: Request) -> SilenceAnswer:
        """Silence a site with its links, the links between two sites, or a kind: `reason`, `until`, and which."""
        wanted = await _wanted(request, SilenceRequest)
        of = {name: _site(sources, name, getattr(wanted, name)) for name in ("site", "src", "dst")}
        return await _added(sources, wanted.reason, wanted.until, kind=wanted.kind, **of)

    @app.post(
        "/api/v1/incidents/{incident}/acknowledge",
        responses={**FORBIDDEN, **NO_SUCH},
        openapi_extra=_ACKNOWLEDGE,
        **only,
    )
    async def acknowledge(incident: str, request: Request) -> SilenceAnswer:
        """Acknowledge an incident that lasts: until then its changes are no news. `reason`, `until`."""
        wanted = await _wanted(request, AcknowledgeRequest)
        if incident not in sources.lasting():
            raise ApiError(404, f"no incident {incident!r} lasts; `linkweather incidents --json` has their ids", "id")
        return await _added(sources, wanted.reason, wanted.until, incident=incident)

    @app.delete("/api/v1/silences/{silence_id}", responses={**FORBIDDEN, **NO_SUCH}, **only)
    async def end(silence_id: str) -> Sequence[SilenceAnswer]:
        """End a silence, or an acknowledgement, before its time; those that are left."""
        if not await sources.remove(silence_id):
            raise ApiError(
                404, f"there is no silence {silence_id!r}; `linkweather incidents silences` has their ids", "id"
            )
        return sources.silences()


async def _added(sources: SilenceSources, reason: str, until: str, **of: Any) -> SilenceAnswer:
    at = datetime.fromtimestamp(sources.now(), UTC)
    found = SilenceAnswer(id=secrets.token_hex(4), at=at, until=_end(until, at), reason=reason, **of)
    if not await sources.add(found):
        raise ApiError(409, "there are too many silences; end some of them")
    return found


def _end(text: str, at: datetime) -> datetime:
    """RFC 3339, or for how long from now. Raises ApiError for what is over, and for what is far."""
    try:
        until = at + timedelta(seconds=parse_period(text))
    except UnitError:
        until = read_parameter("until", parse_moment, text, at)
    if not at < until <= at + LONGEST_SILENCE:
        raise ApiError(422, f"until = {text!r}: must lie ahead, and at most {LONGEST_SILENCE.days} days", "until")
    return until


def _site(sources: SilenceSources, name: str, given: str | None) -> str | None:
    return None if given is None else site_id(sources.mesh(), name, given, 422)


async def _wanted(request: Request, form: type[Wanted]) -> Wanted:
    body = await read_body(request, SILENCE_BYTES_MAX, "a silence")
    try:
        values = from_json(body)
        return settings.validate(values if isinstance(values, dict) else {}, form, "")
    except BadValueError as error:
        raise ApiError(422, error.sentence, error.key or None) from None
    except ValueError as error:
        raise ApiError(422, f"is not JSON: {error}") from None
