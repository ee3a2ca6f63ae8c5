"""What went wrong, as the API answers: incidents, each with its evidence and what the decisions did about it.

A room of its own because people who are told of incidents read nothing else.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from linkweather.wire import Message

IncidentKind = Literal[
    "site_unreachable", "site_silent", "link_down", "loss", "latency", "jitter", "goodput", "clock", "sink", "collector"
]
Severity = Literal["critical", "warning"]


class FindingAnswer(Message):
    """One thing that is wrong: of a link, of a site where `dst` is null, or of what `name` names, such as a sink.

    `value` is the worst figure seen and `normal` what is normal for it: a ratio for loss, seconds for latency and
    silence, bit/s for goodput; null where the kind has no figure; `limit` is the mesh's limit that it is beyond, where
    there is one. `detail` says more in words. `until` is null as long
    as it lasts.
    """

    kind: IncidentKind
    src: str | None = None
    dst: str | None = None
    name: str | None = None
    since: AwareDatetime
    until: AwareDatetime | None = None
    value: float | None = None
    normal: float | None = None
    limit: float | None = None
    detail: str | None = None


class IncidentAnswer(Message):
    """Findings that one thing explains, from its start to its end; `until` is null as long as it lasts.

    `cause` is what the findings have in common, and `subjects` its names: a site, a pair of sites, or a sink. `kind`
    and `severity` are those of the worst finding. `routes` say where the traffic of its links goes meanwhile.
    `merged_into` is the incident that turned out to explain this one.
    """

    id: str
    kind: IncidentKind
    severity: Severity
    cause: str
    subjects: tuple[str, ...]
    since: AwareDatetime
    until: AwareDatetime | None = None
    sentence: str
    findings: tuple[FindingAnswer, ...]
    omitted_findings: int = 0
    routes: tuple[str, ...] = ()
    merged_into: str | None = None


class IncidentsAnswer(Message):
    """The incidents that last, then those that are over, newest first; `sentence` says how things are now."""

    at: AwareDatetime
    sentence: str
    incidents: tuple[IncidentAnswer, ...]
    omitted: int = 0
