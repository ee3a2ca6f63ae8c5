"""Every question to the collector's API, and the form of its answer; no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter

from linkweather.errors import OperatorError
from linkweather.models.evaluation import EvaluationAnswer
from linkweather.models.placements import Job, Jobs, PlacementAnswer, PlacementsAnswer
from linkweather.models.routes import MeshRoutes, Objective, RouteAnswer
from linkweather.models.state import CapacityAnswer, HistoryAnswer, LinkAnswer, MeshAnswer, SiteAnswer

DEFAULT_API = "http://127.0.0.1:8484"

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Question(Generic[Answer]):
    """One HTTP request: `more` is what httpx calls params, content, json and headers."""

    path: str
    form: TypeAdapter[Answer]
    method: str = "GET"
    more: Mapping[str, Any] = field(default_factory=dict)


def base_url(api: str) -> httpx.URL:
    """The API's address. Raises OperatorError for an impossible one."""
    try:
        url = httpx.URL(api)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise OperatorError(f"api = {api!r}: must be http://host[:port] or https://host[:port]")
    return url


def links() -> Question[list[LinkAnswer]]:
    """Every link."""
    return Question("/api/v1/links", TypeAdapter(list[LinkAnswer]))


def link(src: str, dst: str) -> Question[LinkAnswer]:
    """One link."""
    return Question(f"/api/v1/links/{_segment(src)}/{_segment(dst)}", TypeAdapter(LinkAnswer))


def history(src: str, dst: str, metric: str, since: str, step: str) -> Question[HistoryAnswer]:
    """One metric of one link over time."""
    asked = {"metric": metric, "since": since, "step": step}
    path = f"/api/v1/links/{_segment(src)}/{_segment(dst)}/history"
    return Question(path, TypeAdapter(HistoryAnswer), more={"params": asked})


def sites() -> Question[list[SiteAnswer]]:
    """Every site."""
    return Question("/api/v1/sites", TypeAdapter(list[SiteAnswer]))


def mesh() -> Question[MeshAnswer]:
    """The mesh in force."""
    return Question("/api/v1/mesh", TypeAdapter(MeshAnswer))


def push_mesh(text: str) -> Question[MeshAnswer]:
    """A new mesh."""
    more = {"content": text, "headers": {"Content-Type": "application/toml"}}
    return Question("/api/v1/mesh", TypeAdapter(MeshAnswer), "PUT", more)


def route(
    src: str,
    dst: str,
    *,
    objective: Objective,
    bytes_: int | None,
    max_relays: int | None,
    avoid: Iterable[str],
    max_price_usd_per_gb: float | None,
) -> Question[RouteAnswer]:
    """One pair's path."""
    asked = {
        "objective": objective,
        "bytes": bytes_,
        "max_relays": max_relays,
        "avoid": list(avoid),
        "max_price_usd_per_gb": max_price_usd_per_gb,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return Question(f"/api/v1/routes/{_segment(src)}/{_segment(dst)}", TypeAdapter(RouteAnswer), more={"params": given})


def routes(objective: Objective) -> Question[MeshRoutes]:
    """All pairs' paths."""
    return Question("/api/v1/routes", TypeAdapter(MeshRoutes), more={"params": {"objective": objective}})


def capacity() -> Question[list[CapacityAnswer]]:
    """What the sites have for jobs."""
    return Question("/api/v1/capacity", TypeAdapter(list[CapacityAnswer]))


def place(job: Job) -> Question[PlacementAnswer]:
    """Where a job should run."""
    return Question("/api/v1/placements", TypeAdapter(PlacementAnswer), "POST", _json(job))


def place_together(jobs: Iterable[Job]) -> Question[PlacementsAnswer]:
    """Where several jobs should run."""
    return Question("/api/v1/placements", TypeAdapter(PlacementsAnswer), "POST", _json(Jobs(jobs=tuple(jobs))))


def _json(asked: BaseModel) -> Mapping[str, Any]:
    return {"content": asked.model_dump_json(exclude_none=True), "headers": {"Content-Type": "application/json"}}


def evaluation(since: str) -> Question[EvaluationAnswer]:
    """How the decisions since then did."""
    return Question("/api/v1/evaluation", TypeAdapter(EvaluationAnswer), more={"params": {"since": since}})


def events(kinds: Iterable[str], after: str | None) -> dict[str, Any]:
    """What httpx needs to open the stream of events, after the one of that id."""
    headers = {"Accept": "text/event-stream"} | ({} if after is None else {"Last-Event-ID": after})
    return {"url": "/api/v1/events", "params": {"kind": list(kinds)}, "headers": headers}


def _segment(name: str) -> str:
    # "" would ask another question, and a slash or a question mark, too.
    return quote(name or " ", safe="")
