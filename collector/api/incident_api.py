"""The HTTP API's incidents: what is wrong, and what was. A room of its own, as its source asks the record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import FastAPI, Query

from collector.api.api_requests import read_parameter, site_id
from linkweather.mesh import Mesh
from linkweather.models.incidents import IncidentsAnswer
from linkweather.units import parse_moment

INCIDENTS_MAX = 1000
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
