"""A group of sites: which they are, which of them have links to each other, and how these are measured."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from linkweather.mesh.link_tests import Limits, LinkTests
from linkweather.mesh.mesh_fields import (
    PRINTABLE,
    Budget,
    Description,
    NotNegative,
    Positive,
    ProbeInterval,
    ReportInterval,
    Settings,
    SiteId,
    Tuple,
)

GroupName = Annotated[str, Field(min_length=1, max_length=64, pattern=PRINTABLE)]
SiteIds = Annotated[tuple[SiteId, ...], Field(max_length=10_000), Tuple]
MOST_GROUPS = 1000


class GroupLatency(Settings):
    """What the links of a group have instead of the mesh's `latency`."""

    interval_s: ProbeInterval | None = None
    report_interval_s: ReportInterval | None = None


class GroupThroughput(Settings):
    """What the links of a group have instead of the mesh's `throughput`; `budget_bytes_per_day` is of each site."""

    enabled: bool | None = None
    every_s: NotNegative | None = None
    budget_bytes_per_day: Budget | None = None
    link_budget_bytes_per_day: Budget | None = None


class GroupPath(Settings):
    """What the links of a group have instead of the mesh's `path`."""

    enabled: bool | None = None
    every_s: Positive | None = None


class Group(Settings):
    """Sites, and the links between them, all of them both ways.

    Its sites are those in `sites`, those of the `operator` in the `region`, and its `hubs`; where it names neither
    sites nor one of the two, all of the mesh; with `between`, those of two groups above. Its links are between all its
    sites; with `hubs` between each hub and all others; with `nearest` between each site and the so many that are
    nearest to it; with `between` between each site of the one group and each of the other.

    `relay` says whether its sites may relay; unset, its hubs alone, or, where it has none, all.
    """

    name: GroupName
    sites: SiteIds = ()
    operator: Description | None = None
    region: Description | None = None
    hubs: SiteIds = ()
    nearest: Annotated[int, Field(ge=1, le=1000)] | None = None
    between: Annotated[tuple[GroupName, ...], Field(max_length=2), Tuple] = ()
    relay: bool | None = None
    latency: GroupLatency = GroupLatency()
    throughput: GroupThroughput = GroupThroughput()
    path: GroupPath = GroupPath()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _one_pattern(self) -> Self:
        given = {"hubs": self.hubs, "nearest": self.nearest, "between": self.between}
        several = [name for name, value in given.items() if value]
        if len(several) > 1:
            raise ValueError(f"{several[0]} and {several[1]}: a group has one of hubs, nearest and between")
        if self.between and (self.sites or self.selects):
            raise ValueError("between: the sites are those of the two groups; name no others")
        if self.between and len(set(self.between)) < 2:
            raise ValueError("between: must name two groups")
        return self

    @property
    def selects(self) -> bool:
        """Whether it names sites by what they have in common."""
        return self.operator is not None or self.region is not None

    def may_relay(self, site: str) -> bool:
        """Whether a site of the group may relay, as far as the group says."""
        return self.relay if self.relay is not None else not self.hubs or site in self.hubs

    def tests(self, mesh: LinkTests) -> LinkTests:
        """How its links are measured, where this is how those of the mesh are."""
        return LinkTests(
            mesh.latency.model_copy(update=_given(self.latency)),
            mesh.throughput.model_copy(update=_given(self.throughput)),
            mesh.path.model_copy(update=_given(self.path)),
            mesh.limits.model_copy(update=_given(self.limits)),
        )


def _given(settings: Settings) -> dict[str, object]:
    return settings.model_dump(exclude_none=True)
