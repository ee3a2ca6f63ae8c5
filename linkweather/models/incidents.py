"""What went wrong, as the API answers: incidents, each with its evidence and what the decisions did about it.

A room of its own because people who are told of incidents read nothing else.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from linkweather.mesh import PRINTABLE, Description, Settings
from linkweather.wire import Message

IncidentKind = Literal[
    "site_unreachable",
    "site_silent",
    "link_down",
    "loss",
    "latency",
    "jitter",
    "goodput",
    "implausible",
    "clock",
    "authentication",
    "sink",
    "collector",
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


class AcknowledgeRequest(Settings):
    """Why people need not be told of an incident again, `until` an RFC 3339 time, or for so long (`2h`)."""

    reason: Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE)]
    until: Annotated[str, Field(max_length=64)]


class SilenceRequest(AcknowledgeRequest):
    """The same of a `site` and its links, of the links between two sites, `src` and `dst`, or of one `kind`.

    With a kind and one of the others, of findings of this kind there.
    """

    site: Description | None = None
    src: Description | None = None
    dst: Description | None = None
    kind: IncidentKind | None = None

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if (self.src is None) != (self.dst is None) or (self.site is not None and self.src is not None):
            raise ValueError("site, or src and dst, or neither")
        if self.site is None and self.src is None and self.kind is None:
            raise ValueError("site, src and dst, or kind: one is needed")
        return self


class SilenceAnswer(Message):
    """People are not told of what this covers, from `at` to `until`, for the `reason`.

    With `incident` it acknowledges that one: its changes are no news, its end is. Otherwise it silences incidents of
    which everything concerns the `site`, or the links between `src` and `dst`, and is of the `kind`, where given.
    """

    id: str
    at: AwareDatetime
    until: AwareDatetime
    reason: str
    incident: str | None = None
    site: str | None = None
    src: str | None = None
    dst: str | None = None
    kind: IncidentKind | None = None


class IncidentAnswer(Message):
    """Findings that one thing explains, from its start to its end; `until` is null as long as it lasts.

    `cause` is what the findings have in common, and `subjects` its names: a site, a pair of sites, or a sink. `kind`
    and `severity` are those of the worst finding. `routes` say where the traffic of its links goes meanwhile.
    `merged_into` is the incident that turned out to explain this one. `silence` is why people are not told of it now.
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
    silence: SilenceAnswer | None = None


class IncidentsAnswer(Message):
    """The incidents that last, then those that are over, newest first; `sentence` says how things are now."""

    at: AwareDatetime
    sentence: str
    incidents: tuple[IncidentAnswer, ...]
    omitted: int = 0
