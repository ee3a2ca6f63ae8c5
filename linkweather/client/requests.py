"""Every request to the collector's API with the type of its answer: what both clients can ask. No I/O.

A function here is a method of both clients (`clients.py`), with its parameters and its documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter

from linkweather.api_place import socket_of
from linkweather.errors import OperatorError
from linkweather.models.incidents import IncidentsAnswer, SilenceAnswer
from linkweather.models.ledger import LedgerAnswer, SetAsideAnswer, SinkAnswer
from linkweather.models.link_history import LinkHistoryAnswer, LinkMarksAnswer, SlaAnswer
from linkweather.models.placements import Job, Jobs, PlacementAnswer, PlacementsAnswer
from linkweather.models.routes import MeshRoutes, Objective, RelayMode, RouteAnswer
from linkweather.models.scores import EvaluationAnswer
from linkweather.models.state import CapacityAnswer, HistoryAnswer, LinkAnswer, MeshAnswer, SiteAnswer

Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True)
class Request(Generic[Answered]):
    """One HTTP request: `form` is that of its answer, `more` what httpx calls params, content and headers."""

    path: str
    form: TypeAdapter[Answered]
    method: str = "GET"
    more: Mapping[str, Any] = field(default_factory=dict)


def base_url(api: str) -> httpx.URL:
    """The API's address. Raises OperatorError for an impossible one."""
    if socket_of(api) is not None:
        return httpx.URL("http://localhost")
    try:
        url = httpx.URL(api)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise OperatorError(f"api = {api!r}: must be http://host[:port], https://host[:port] or unix:///path")
    return url


def links(limit: int | None = None) -> Request[list[LinkAnswer]]:
    """Every link of the mesh, also those never measured; with a `limit` the first page of them, by the sites' names."""
    return Request("/api/v1/links", TypeAdapter(list[LinkAnswer]), more={"params": _limited(limit)})


def link(src: str, dst: str) -> Request[LinkAnswer]:
    """One link. Raises NotFoundError."""
    return Request(f"/api/v1/links/{_segment(src)}/{_segment(dst)}", TypeAdapter(LinkAnswer))


def history(src: str, dst: str, metric: str, *, since: str = "1h", step: str = "10s") -> Request[HistoryAnswer]:
    """One metric of one link over time; `since` is RFC 3339 or how long ago (`15m`). Raises NotFoundError."""
    params = {"metric": metric, "since": since, "step": step}
    path = f"/api/v1/links/{_segment(src)}/{_segment(dst)}/history"
    return Request(path, TypeAdapter(HistoryAnswer), more={"params": params})


def link_history(
    src: str, dst: str, *, since: str = "24h", until: str = "now", step: str | None = None
) -> Request[LinkHistoryAnswer]:
    """One link over any span; moments are RFC 3339 or how long ago (`30d`). Raises OperatorError for unknown sites."""
    params = {"src": src, "dst": dst, "since": since, "until": until, **({"step": step} if step else {})}
    return Request("/api/v1/history", TypeAdapter(LinkHistoryAnswer), more={"params": params})


def link_marks(src: str, dst: str, *, since: str = "24h", until: str = "now") -> Request[LinkMarksAnswer]:
    """The paths that a link took in a span, and its throughput tests; moments as in `link_history`."""
    params = {"src": src, "dst": dst, "since": since, "until": until}
    return Request("/api/v1/history/marks", TypeAdapter(LinkMarksAnswer), more={"params": params})


def silences() -> Request[list[SilenceAnswer]]:
    """What people are not told of now."""
    return Request("/api/v1/silences", TypeAdapter(list[SilenceAnswer]))


def silence(
    *,
    reason: str,
    until: str,
    site: str | None = None,
    src: str | None = None,
    dst: str | None = None,
    kind: str | None = None,
) -> Request[SilenceAnswer]:
    """Silence a site, the links between two sites, or a kind, `until` an RFC 3339 time or for so long (`2h`)."""
    values = {"reason": reason, "until": until, "site": site, "src": src, "dst": dst, "kind": kind}
    given = {name: value for name, value in values.items() if value is not None}
    return Request("/api/v1/silences", TypeAdapter(SilenceAnswer), "POST", {"json": given})


def acknowledge(incident: str, *, reason: str, until: str) -> Request[SilenceAnswer]:
    """Acknowledge an incident that lasts; `until` as in `silence`. Raises NotFoundError."""
    more = {"json": {"reason": reason, "until": until}}
    return Request(f"/api/v1/incidents/{_segment(incident)}/acknowledge", TypeAdapter(SilenceAnswer), "POST", more)


def end_silence(silence_id: str) -> Request[list[SilenceAnswer]]:
    """End a silence, or an acknowledgement, before its time; those that are left. Raises NotFoundError."""
    return Request(f"/api/v1/silences/{_segment(silence_id)}", TypeAdapter(list[SilenceAnswer]), "DELETE")


def sla(
    *, src: str | None = None, dst: str | None = None, site: str | None = None, since: str = "30d", until: str = "now"
) -> Request[SlaAnswer]:
    """How available a link, all of a site, or all were; moments as in `link_history`. Raises OperatorError."""
    given = {"src": src, "dst": dst, "site": site, "since": since, "until": until}
    params = {name: value for name, value in given.items() if value is not None}
    return Request("/api/v1/sla", TypeAdapter(SlaAnswer), more={"params": params})


def sites() -> Request[list[SiteAnswer]]:
    """Every site of the mesh, also those that have never reported."""
    return Request("/api/v1/sites", TypeAdapter(list[SiteAnswer]))


def mesh() -> Request[MeshAnswer]:
    """The mesh that the collector follows."""
    return Request("/api/v1/mesh", TypeAdapter(MeshAnswer))


def push_mesh(text: str) -> Request[MeshAnswer]:
    """Replace the mesh by this one, as TOML text."""
    more = {"content": text, "headers": {"Content-Type": "application/toml"}}
    return Request("/api/v1/mesh", TypeAdapter(MeshAnswer), "PUT", more)


def route(
    src: str,
    dst: str,
    *,
    objective: Objective = "latency",
    bytes: int | None = None,  # noqa: A002 – the API's own name
    max_relays: int | None = None,
    avoid: Iterable[str] = (),
    max_price_usd_per_gb: float | None = None,
    relay_mode: RelayMode | None = None,
) -> Request[RouteAnswer]:
    """Which path data should take now; sites by id or compute_id. `completion` needs the `bytes` to be sent.

    Prices are USD per 10^9 bytes. Relays split connections, or only pass packets on where `relay_mode` is `forward`.
    Raises NotFoundError, and NoPathError when no path is usable.
    """
    params = {
        "objective": objective,
        "bytes": bytes,
        "max_relays": max_relays,
        "avoid": list(avoid),
        "max_price_usd_per_gb": max_price_usd_per_gb,
        "relay_mode": relay_mode,
    }
    given = {name: value for name, value in params.items() if value is not None}
    return Request(f"/api/v1/routes/{_segment(src)}/{_segment(dst)}", TypeAdapter(RouteAnswer), more={"params": given})


def routes(objective: Objective = "latency", limit: int | None = None) -> Request[MeshRoutes]:
    """The active routes of all pairs; with a `limit` the first page of them, by the sites' names."""
    params = {"objective": objective, **_limited(limit)}
    return Request("/api/v1/routes", TypeAdapter(MeshRoutes), more={"params": params})


def capacity() -> Request[list[CapacityAnswer]]:
    """What each site last reported of its devices, by type; also what has expired."""
    return Request("/api/v1/capacity", TypeAdapter(list[CapacityAnswer]))


def place(job: Job) -> Request[PlacementAnswer]:
    """Where a job should run, and why; its `site` is None where no site can run it."""
    return Request("/api/v1/placements", TypeAdapter(PlacementAnswer), "POST", _json(job))


def place_together(jobs: Iterable[Job]) -> Request[PlacementsAnswer]:
    """Where several jobs should run so that all are done early, in their order."""
    return Request("/api/v1/placements", TypeAdapter(PlacementsAnswer), "POST", _json(Jobs(jobs=tuple(jobs))))


def evaluation(since: str = "24h") -> Request[EvaluationAnswer]:
    """How the decisions since then did, against what was measured afterwards; RFC 3339 or how long ago."""
    return Request("/api/v1/evaluation", TypeAdapter(EvaluationAnswer), more={"params": {"since": since}})


def ledger(*, site: str | None = None, limit: int = 1000) -> Request[LedgerAnswer]:
    """Where every report and row went, of all sites or one; `limit` outboxes have a line."""
    params = {"limit": limit} | ({} if site is None else {"site": site})
    return Request("/api/v1/ledger", TypeAdapter(LedgerAnswer), more={"params": params})


def incidents(*, since: str = "24h", site: str | None = None, limit: int = 100) -> Request[IncidentsAnswer]:
    """The incidents that last, then those since then that are over; of all sites or one. RFC 3339 or how long ago."""
    params = {"since": since, "limit": limit} | ({} if site is None else {"site": site})
    return Request("/api/v1/incidents", TypeAdapter(IncidentsAnswer), more={"params": params})


def sinks() -> Request[list[SinkAnswer]]:
    """Every sink: the configured ones, and those removed for which the record still keeps rows."""
    return Request("/api/v1/sinks", TypeAdapter(list[SinkAnswer]))


def set_aside(sink: str, *, limit: int = 100) -> Request[list[SetAsideAnswer]]:
    """The rows that a sink refused for good, the newest first. Raises NotFoundError."""
    path = f"/api/v1/sinks/{_segment(sink)}/set-aside"
    return Request(path, TypeAdapter(list[SetAsideAnswer]), more={"params": {"limit": limit}})


def retry_set_aside(sink: str) -> Request[SinkAnswer]:
    """Have what is set aside sent again, from now on. Raises NotFoundError."""
    return Request(f"/api/v1/sinks/{_segment(sink)}/set-aside/retry", TypeAdapter(SinkAnswer), "POST")


def drop_set_aside(sink: str) -> Request[SinkAnswer]:
    """Let go of what is set aside; of a removed sink, of all that the record keeps for it. Raises NotFoundError."""
    return Request(f"/api/v1/sinks/{_segment(sink)}/set-aside", TypeAdapter(SinkAnswer), "DELETE")


def events(kinds: Iterable[str], after: str | None) -> dict[str, Any]:
    """What httpx needs to open the stream of events, after the one of that id."""
    headers = {"Accept": "text/event-stream"} | ({} if after is None else {"Last-Event-ID": after})
    return {"url": "/api/v1/events", "params": {"kind": list(kinds)}, "headers": headers}


def _limited(limit: int | None) -> Mapping[str, int]:
    return {} if limit is None else {"limit": limit}


def _json(asked: BaseModel) -> Mapping[str, Any]:
    return {"content": asked.model_dump_json(exclude_none=True), "headers": {"Content-Type": "application/json"}}


def _segment(name: str) -> str:
    # An empty name, a slash or a question mark would change which resource is asked for.
    return quote(name or " ", safe="")
