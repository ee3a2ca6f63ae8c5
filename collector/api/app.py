"""The HTTP API: sites, links, history, mesh, health, metrics and its own documentation."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic_core import to_json

from collector.api import docs_page
from collector.api.access import FORBIDDEN, AccessControl, AccessRules, guarded
from collector.api.api_requests import (
    ApiError,
    answer_errors,
    read_body,
    read_parameter,
    refuse_repeated,
    site_id,
    without_folders,
)
from collector.api.cached_answers import CachedAnswer
from collector.api.costly_questions import question_threads
from collector.api.link_documents import link_columns_json, link_rows_json
from collector.api.middleware import ContainedApi, HeadAsGet, RequestLimit, SecurityHeaders
from collector.api.pages import PAGED, Cursor, Limit, PagedAnswer, PageQuestion
from collector.api.request_rates import RequestRates
from collector.linkstate.link_answers import LinkTable
from collector.linkstate.link_index import Pair
from collector.store.recorded_rows import METRICS, metric_source
from linkweather.errors import OperatorError
from linkweather.models.state import (
    ErrorAnswer,
    HistoryAnswer,
    HistoryBucket,
    LinkAnswer,
    MeshAnswer,
    ReadyAnswer,
    SiteAnswer,
)
from linkweather.units import parse_moment, parse_period

MESH_BYTES_MAX = 4_000_000
BUCKETS_MAX = 10_000
METRIC_NAMES = f"{', '.join(sorted(METRICS))}, or figures.NAME of a prober's own figure"


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """One metric of one link in `[since, until)`, by steps."""

    src: str
    dst: str
    metric: str
    since: datetime
    until: datetime
    step_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSources:
    """What the API's answers come from. `now` is in seconds since the epoch; `push_mesh` raises OperatorError.

    `links`, `link_page` and `metrics` copy what is known now; what they return completes that in any thread.
    """

    now: Callable[[], float]
    links: Callable[[float], Awaitable[Callable[[], LinkTable]]]
    link_page: Callable[[float, int, Pair | None], tuple[Callable[[], LinkTable], Pair | None]]
    link: Callable[[str, str, float], LinkAnswer | None]
    sites: Callable[[float], list[SiteAnswer]]
    history: Callable[[HistoryQuery], Awaitable[Sequence[HistoryBucket]]]
    mesh: Callable[[], MeshAnswer]
    push_mesh: Callable[[str], Awaitable[None]]
    not_ready: Callable[[], Sequence[str]]
    metrics: Callable[[], Awaitable[Iterable[bytes]]]
    degraded: Callable[[], Sequence[str]] = tuple
    page: Callable[[str], str | None] = lambda _host: None
    access: AccessRules = field(default_factory=AccessRules)
    rates: RequestRates | None = None


REFUSALS: Mapping[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": sentence}
    for status, sentence in {
        400: "The request is no HTTP of ours",
        401: "A token is needed, or is not known",
        415: "The body is of another type",
        421: "The collector does not answer by this name",
        422: "One sentence says what is wrong with the question",
        429: "Too many requests of this address, or questions of this kind; Retry-After says when to come back",
        503: "Not now; Retry-After says when to come back",
    }.items()
}


def create_app(sources: AppSources) -> FastAPI:
    """The application that answers from these sources."""
    app = FastAPI(
        title="linkweather",
        version=version("linkweather"),
        description="How the links between the sites are now, and were. Base SI units; null is never measured.",
        docs_url=None,  # FastAPI's page loads scripts from elsewhere; docs_page works offline
        redoc_url=None,
        openapi_url=None,  # FastAPI would make the schema on the event loop
        responses={**REFUSALS},
        dependencies=[Depends(refuse_repeated)],
    )
    answer_errors(app)
    app.add_middleware(AccessControl, rules=sources.access)
    app.add_middleware(ContainedApi)
    if sources.rates is not None:
        app.add_middleware(RequestLimit, rates=sources.rates)
    app.add_middleware(HeadAsGet)
    app.add_middleware(SecurityHeaders)
    _add_answers(app, sources)
    _add_history(app, sources)
    _add_mesh(app, sources)
    _add_health(app, sources)
    _add_pages(app, sources)
    return app


LinkColumns = dict[str, Any]  # of `form=columns`: at, sites, columns
LinkForm = Literal["rows", "columns"]
LINK_FORMS: Mapping[LinkForm, Callable[[LinkTable], Iterator[bytes]]] = {
    "rows": link_rows_json,
    "columns": link_columns_json,
}
NOT_FOUND: Mapping[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "The mesh has no such link"}
}
NOT_READY: Mapping[int | str, dict[str, Any]] = {503: {"model": ReadyAnswer, "description": "Not ready"}}


def _add_answers(app: FastAPI, sources: AppSources) -> None:
    @app.get("/api/v1/sites")
    async def sites() -> list[SiteAnswer]:
        """Every site of the mesh, also sites never heard."""
        return sources.sites(sources.now())

    whole = {form: CachedAnswer(partial(_links_json, sources, form)) for form in LINK_FORMS}
    pages = PagedAnswer()

    @app.get("/api/v1/links", response_model=list[LinkAnswer] | LinkColumns, responses={**PAGED})
    async def links(
        *,
        form: Annotated[LinkForm, Query(description="An object a link, or a column a field")] = "rows",
        limit: Limit = None,
        cursor: Cursor = None,
        if_none_match: Annotated[str | None, Header(description="The ETag of the answer that is known")] = None,
    ) -> Response:
        """Every link of the mesh as it is now, also links never measured, or a page of them; seconds old at most."""
        asked = PageQuestion.of(limit, cursor, form=form)
        if asked is None:
            return await whole[form].response(if_none_match)
        return await pages.response(asked, partial(_link_page_json, sources, form), if_none_match)

    @app.get("/api/v1/links/{src}/{dst}", responses={**NOT_FOUND})
    async def link(src: str, dst: str) -> LinkAnswer:
        """One link as it is now."""
        return _known_link(sources, src, dst)


async def _links_json(sources: AppSources, form: LinkForm) -> Iterator[bytes]:
    return _pieces(form, await sources.links(sources.now()))


def _link_page_json(
    sources: AppSources, form: LinkForm, limit: int, after: Pair | None
) -> tuple[Iterator[bytes], Pair | None]:
    complete, last = sources.link_page(sources.now(), limit, after)
    return _pieces(form, complete), last


def _pieces(form: LinkForm, complete: Callable[[], LinkTable]) -> Iterator[bytes]:
    yield from LINK_FORMS[form](complete())  # in a thread


def _add_history(app: FastAPI, sources: AppSources) -> None:
    @app.get("/api/v1/links/{src}/{dst}/history", responses={**NOT_FOUND})
    async def history(
        *,
        src: str,
        dst: str,
        metric: Annotated[str, Query(description=f"One of {METRIC_NAMES}")] = "rtt_p50_s",
        since: Annotated[str, Query(description="RFC 3339, or how long ago, such as 15m")] = "1h",
        until: Annotated[str, Query(description="RFC 3339, or how long ago, or now")] = "now",
        step: Annotated[str, Query(description="One bucket's length, such as 10s")] = "10s",
    ) -> HistoryAnswer:
        """One metric of one link over time, in buckets; buckets without a row are left out."""
        link = _known_link(sources, src, dst)
        src, dst = link.src, link.dst  # the request may name sites by compute_id
        if metric_source(metric) is None:
            raise ApiError(422, f"metric = {metric!r}: must be one of {METRIC_NAMES}", "metric")
        now = datetime.fromtimestamp(sources.now(), UTC)
        start, end = (
            read_parameter("since", parse_moment, since, now),
            read_parameter("until", parse_moment, until, now),
        )
        step_s = read_parameter("step", parse_period, step)
        _check_span(start, end, step_s)
        buckets = await sources.history(HistoryQuery(src, dst, metric, start, end, step_s))
        return HistoryAnswer(
            src=src, dst=dst, metric=metric, since=start, until=end, step_s=step_s, buckets=tuple(buckets)
        )


def _add_mesh(app: FastAPI, sources: AppSources) -> None:
    @app.get("/api/v1/mesh")
    async def mesh() -> MeshAnswer:
        """The current mesh."""
        return sources.mesh()

    @app.put(
        "/api/v1/mesh",
        dependencies=[guarded("the mesh")],
        responses=FORBIDDEN,
        openapi_extra={"requestBody": {"required": True, "content": {"application/toml": {}}}},
    )
    async def push_mesh(request: Request) -> MeshAnswer:
        """Replace the mesh, given as TOML text: it is checked, written to the mesh file and sent to the sites."""
        text = await _text(request)
        try:
            await sources.push_mesh(text)
        except OperatorError as error:
            raise ApiError(422, without_folders(str(error)), "mesh") from None
        return sources.mesh()


def _add_health(app: FastAPI, sources: AppSources) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Answers as long as the process runs."""
        return {"status": "alive"}

    @app.get("/readyz", responses={**NOT_READY})
    async def readyz(response: Response) -> ReadyAnswer:
        """Whether the collector can do its work now; 503 with the reasons where it cannot.

        `degraded` names what fails and holds up nothing else: sinks, and the collector's own clock.
        """
        reasons = tuple(map(without_folders, sources.not_ready()))
        response.status_code = 503 if reasons else 200
        return ReadyAnswer(ready=not reasons, reasons=reasons, degraded=tuple(map(without_folders, sources.degraded())))

    scraped = CachedAnswer(sources.metrics, CONTENT_TYPE_LATEST)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Metrics for Prometheus: of the links, the sites and the collector itself; some seconds old at most."""
        return await scraped.response(None)


def _add_pages(app: FastAPI, sources: AppSources) -> None:
    thread = question_threads(1, "documentation")  # which the schema keeps busy for half a second, once

    @functools.cache
    def schema() -> bytes:
        return to_json(app.openapi())

    @functools.cache
    def page() -> str:
        return docs_page.page(app.openapi())

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return Response(await asyncio.get_running_loop().run_in_executor(thread, schema), media_type="application/json")

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> HTMLResponse:
        return HTMLResponse(await asyncio.get_running_loop().run_in_executor(thread, page))

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> RedirectResponse:
        return RedirectResponse(sources.page(request.url.hostname or "") or "/docs")


def _known_link(sources: AppSources, src: str, dst: str) -> LinkAnswer:
    mesh = sources.mesh().mesh
    src, dst = site_id(mesh, "src", src), site_id(mesh, "dst", dst)
    answer = sources.link(src, dst, sources.now())
    if answer is None:
        raise ApiError(404, f"the mesh has no link {src} → {dst}")
    return answer


def _check_span(since: datetime, until: datetime, step_s: float) -> None:
    span_s = (until - since).total_seconds()
    if span_s <= 0:
        raise ApiError(422, f"since = {since.isoformat()}: must be before until, {until.isoformat()}", "since")
    if span_s / step_s > BUCKETS_MAX:
        least = f"{span_s / BUCKETS_MAX:.3g}s"
        raise ApiError(422, f"step = {step_s:g}s: too many buckets: at most {BUCKETS_MAX}, so at least {least}", "step")


async def _text(request: Request) -> str:
    try:
        return (await read_body(request, MESH_BYTES_MAX, "a mesh", "mesh")).decode()
    except UnicodeDecodeError:
        raise ApiError(422, "the mesh is not UTF-8 text", "mesh") from None
