"""The HTTP API's answers over spans: the history of a link, and how available links and sites were. Sources block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Query

from collector.api.api_requests import ApiError, read_parameter, site_id
from collector.api.costly_questions import CostlyQuestions
from collector.settings import JournalSettings
from collector.store.link_history import STEPS_MAX, HistorySpan, default_step_s, span
from collector.store.sla_reader import sla_span
from linkweather.mesh import Mesh
from linkweather.models.link_history import LinkHistoryAnswer, LinkMarksAnswer, SlaAnswer
from linkweather.models.state import ErrorAnswer
from linkweather.units import parse_moment, parse_period

NO_SUCH_SITE: Mapping[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "The mesh has no such site"},
    421: {"model": ErrorAnswer, "description": "Another collector keeps it"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySources:
    """What the answer comes from; `history` blocks, `now` is in seconds since the epoch."""

    now: Callable[[], float]
    mesh: Callable[[], Mesh]
    history: Callable[[str, str, HistorySpan], LinkHistoryAnswer]
    marks: Callable[[str, str, datetime, datetime], LinkMarksAnswer]
    link_sla: Callable[[str, str, HistorySpan], SlaAnswer]
    site_sla: Callable[[str, HistorySpan], SlaAnswer]
    mesh_sla: Callable[[HistorySpan], SlaAnswer]
    settings: JournalSettings
    questions: CostlyQuestions


def add_link_history(app: FastAPI, sources: HistorySources) -> None:
    """Add the answer."""

    @app.get("/api/v1/history", responses={**NO_SUCH_SITE})
    async def link_history(
        *,
        src: str,
        dst: str,
        since: Annotated[str, Query(description="RFC 3339, or how long ago, such as 30d")] = "24h",
        until: Annotated[str, Query(description="RFC 3339, or how long ago, or now")] = "now",
        step: Annotated[
            str | None, Query(description="One step's length, such as 1h; without it, one that fits")
        ] = None,
    ) -> LinkHistoryAnswer:
        """One link over any span: loss, RTT, availability and goodput by steps, from rows, minutes or hours.

        A step is at least as long as what is still kept of its time: minutes for some months, hours for ever.
        """
        mesh, now = sources.mesh(), datetime.fromtimestamp(sources.now(), UTC)
        src, dst = site_id(mesh, "src", src), site_id(mesh, "dst", dst)
        start, end = _moments(since, until, now)
        span_s = (end - start).total_seconds()
        step_s = default_step_s(span_s) if step is None else read_parameter("step", parse_period, step)
        wanted = span(start, end, step_s, now, sources.settings)
        if span_s / wanted.step_s > STEPS_MAX:
            least = f"{span_s / STEPS_MAX:.3g}s"
            raise ApiError(422, f"step = {step}: too many steps: at most {STEPS_MAX}, so at least {least}", "step")
        return await sources.questions.ask("history", sources.history, src, dst, wanted)


def add_link_marks(app: FastAPI, sources: HistorySources) -> None:
    """Add the answer."""

    @app.get("/api/v1/history/marks", responses={**NO_SUCH_SITE})
    async def link_marks(
        *,
        src: str,
        dst: str,
        since: Annotated[str, Query(description="RFC 3339, or how long ago, such as 7d")] = "24h",
        until: Annotated[str, Query(description="RFC 3339, or how long ago, or now")] = "now",
    ) -> LinkMarksAnswer:
        """What happened on one link, as far as its rows are kept: the paths it took, and its throughput tests."""
        mesh, now = sources.mesh(), datetime.fromtimestamp(sources.now(), UTC)
        src, dst = site_id(mesh, "src", src), site_id(mesh, "dst", dst)
        start, end = _moments(since, until, now)
        return await sources.questions.ask("history", sources.marks, src, dst, start, end)


def add_sla(app: FastAPI, sources: HistorySources) -> None:
    """Add the answer."""

    @app.get("/api/v1/sla", responses={**NO_SUCH_SITE})
    async def sla(
        *,
        src: Annotated[str | None, Query(description="With dst: of this link")] = None,
        dst: str | None = None,
        site: Annotated[str | None, Query(description="Of all links from and to this site")] = None,
        since: Annotated[str, Query(description="RFC 3339, or how long ago, such as 30d")] = "30d",
        until: Annotated[str, Query(description="RFC 3339, or how long ago, or now")] = "now",
    ) -> SlaAnswer:
        """How available a link, a site or all links were over a span, by time, with loss and RTT of the whole."""
        mesh, now = sources.mesh(), datetime.fromtimestamp(sources.now(), UTC)
        start, end = _moments(since, until, now)
        wanted = sla_span(start, end, now, sources.settings, of_link=src is not None)
        if site is not None and src is None and dst is None:
            return await sources.questions.ask(
                "availability", sources.site_sla, site_id(mesh, "site", site, 422), wanted
            )
        if site is None and src is None and dst is None:
            return await sources.questions.ask("availability", sources.mesh_sla, wanted)
        if site is not None or src is None or dst is None:
            raise ApiError(422, "either src and dst, of a link, or site, or none of them, for all links", "site")
        return await sources.questions.ask(
            "availability", sources.link_sla, site_id(mesh, "src", src), site_id(mesh, "dst", dst), wanted
        )


def _moments(since: str, until: str, now: datetime) -> tuple[datetime, datetime]:
    start = read_parameter("since", parse_moment, since, now)
    end = read_parameter("until", parse_moment, until, now)
    if end <= start:
        raise ApiError(422, f"since = {start.isoformat()}: must be before until, {end.isoformat()}", "since")
    return start, end
