"""The HTTP API's routes: of one pair, of all pairs, and how past decisions did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Query, Request, Response

from collector.api.api_requests import ApiError, read_parameter, site_id
from collector.api.cached_answers import CachedAnswer
from collector.api.mesh_routes import mesh_columns, mesh_rows, route_page
from collector.api.pages import PAGED, Cursor, Limit, PagedAnswer, PageQuestion
from collector.linkstate.link_index import Pair
from collector.routing.arrays import Pairs
from collector.routing.route_columns import RouteView
from collector.routing.route_question import RouteQuestion, RouteQuestionError
from linkweather.mesh import Mesh
from linkweather.models.routes import MeshRoutes, NoRoute, Objective, RelayMode, RouteAnswer
from linkweather.models.scores import EvaluationAnswer
from linkweather.models.state import ErrorAnswer
from linkweather.units import parse_moment

Form = Literal["rows", "columns"]

_FORMS: Mapping[Form, Callable[[RouteView, Pairs | None], Iterator[bytes]]] = {
    "rows": mesh_rows,
    "columns": mesh_columns,
}
LONGEST_EVALUATION = timedelta(days=366)
CONDITIONS = ("objective", "bytes", "max_relays", "avoid", "max_price_usd_per_gb", "relay_mode")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSources:
    """Where answers come from. `route` raises RouteQuestionError; `now` is in seconds since the epoch."""

    now: Callable[[], float]
    mesh: Callable[[], Mesh]
    route: Callable[[RouteQuestion], RouteAnswer | NoRoute]
    routes: Callable[[Objective], RouteView | None]
    evaluation: Callable[[datetime, datetime], Awaitable[EvaluationAnswer]]


def add_routes(app: FastAPI, sources: RouteSources) -> None:
    """Add the answers under /api/v1/routes, and their evaluation."""
    _add_pair(app, sources)
    _add_all(app, sources)

    @app.get("/api/v1/evaluation")
    async def evaluation(
        since: Annotated[str, Query(description="RFC 3339, or how long ago")] = "24h",
    ) -> EvaluationAnswer:
        """How the decisions since then did, against what was measured afterwards."""
        now = datetime.fromtimestamp(sources.now(), UTC)
        start = read_parameter("since", parse_moment, since, now)
        if start >= now:
            raise ApiError(422, f"since = {since!r}: must be in the past", "since")
        if now - start > LONGEST_EVALUATION:
            raise ApiError(422, f"since = {since!r}: at most {LONGEST_EVALUATION.days} days ago", "since")
        return await sources.evaluation(start, now)


def _add_all(app: FastAPI, sources: RouteSources) -> None:
    cached: dict[tuple[Objective, Form], CachedAnswer] = {}
    pages = PagedAnswer()

    @app.get("/api/v1/routes", response_model=MeshRoutes | dict[str, Any], responses={**PAGED})
    async def routes(
        *,
        objective: Annotated[Objective, Query()] = "latency",
        form: Annotated[Form, Query(description="An object a pair, or a column a field")] = "rows",
        limit: Limit = None,
        cursor: Cursor = None,
        if_none_match: Annotated[str | None, Header(description="The ETag of the answer that is known")] = None,
    ) -> Response:
        """The active routes of all pairs, or a page, by RTT or by goodput: completion needs a pair and bytes."""
        if objective == "completion":
            raise ApiError(422, "objective = 'completion': ask for a pair, with bytes", "objective")
        of = partial(sources.routes, objective)
        if asked := PageQuestion.of(limit, cursor, objective=objective, form=form):
            return await pages.response(asked, partial(_page, sources, objective, form), if_none_match, of)
        if (objective, form) not in cached:
            capture = partial(_all_pairs, sources, objective, form)
            cached[objective, form] = CachedAnswer(capture, of=of)
        answer = cached[objective, form]
        return await answer.response(if_none_match)


def _all_pairs(sources: RouteSources, objective: Objective, form: Form) -> Iterator[bytes]:
    return _FORMS[form](_view(sources, objective), None)


def _page(
    sources: RouteSources, objective: Objective, form: Form, limit: int, after: Pair | None
) -> tuple[Iterator[bytes], Pair | None]:
    view = _view(sources, objective)
    pairs, last = route_page(view, limit, after)
    return _FORMS[form](view, pairs), last


def _view(sources: RouteSources, objective: Objective) -> RouteView:
    view = sources.routes(objective)
    if view is None:
        raise ApiError(503, "no route has been decided yet")
    return view


def _add_pair(app: FastAPI, sources: RouteSources) -> None:
    @app.get(
        "/api/v1/routes/{src}/{dst}",
        responses={
            404: {"model": ErrorAnswer, "description": "The mesh has no such site"},
            409: {"model": ErrorAnswer, "description": "No path can be used now"},
        },
    )
    async def route(
        request: Request,
        *,
        src: str,
        dst: str,
        objective: Annotated[Objective, Query()] = "latency",
        bytes: Annotated[int | None, Query(description="What is to be sent")] = None,  # noqa: A002 – the API's name
        max_relays: Annotated[int, Query(description="0, 1 or 2")] = 1,
        avoid: Annotated[list[str] | None, Query(description="Not through this site; may be given again")] = None,
        max_price_usd_per_gb: Annotated[float | None, Query(description="Of all sites that send, summed")] = None,
        relay_mode: Annotated[RelayMode, Query(description="What relays do with a connection")] = "split",
    ) -> RouteAnswer:
        """Which path data from `src` to `dst` should take now, and why; sites by id or compute_id."""
        _refuse_unknown(request)
        mesh = sources.mesh()
        try:
            question = RouteQuestion(
                src=site_id(mesh, "src", src),
                dst=site_id(mesh, "dst", dst),
                objective=objective,
                bytes=bytes,
                max_relays=max_relays,
                avoid=frozenset(site_id(mesh, "avoid", name, 422) for name in avoid or ()),
                max_price_usd_per_gb=max_price_usd_per_gb,
                relay_mode=relay_mode,
            )
            answer = sources.route(question)
        except RouteQuestionError as error:
            raise ApiError(422, str(error), error.field) from None
        if isinstance(answer, NoRoute):
            raise ApiError(409, answer.why)
        return answer


def _refuse_unknown(request: Request) -> None:
    """A condition that is misspelt would be no condition, and the answer would not say so."""
    for name in request.query_params:
        if name not in CONDITIONS:
            raise ApiError(422, f"{name}: no such parameter; there are {', '.join(CONDITIONS)}", name)
