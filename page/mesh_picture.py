"""What the page knows of the mesh at one moment: one copy for all who look. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from linkweather.models.events import Event, LinkEvent
from linkweather.models.incidents import IncidentsAnswer
from linkweather.models.link_history import SlaAnswer
from linkweather.models.routes import MeshRoutes, Objective, RouteSummary
from linkweather.models.state import LinkAnswer, SiteAnswer

Pair = tuple[str, str]
OBJECTIVES: tuple[Objective, ...] = ("latency", "goodput")
_RECENT = 60


@dataclass(frozen=True, slots=True)
class MeshPicture:
    """The answers of the API, by their keys; `problem` is why nothing newer came, `at` when the newest did (seconds).

    `rtts` has the newest RTTs of each link, the oldest first, for a small curve; `usual_rtts_s` the median of each of
    the week that ended a day ago, as far as that was asked for.
    """

    name: str = ""
    at: float | None = None
    problem: str | None = None
    links: Mapping[Pair, LinkAnswer] = field(default_factory=dict)
    sites: Mapping[str, SiteAnswer] = field(default_factory=dict)
    incidents: IncidentsAnswer | None = None
    routes: Mapping[str, MeshRoutes] = field(default_factory=dict)
    rtts: Mapping[Pair, tuple[float | None, ...]] = field(default_factory=dict)
    usual_rtts_s: Mapping[Pair, float] = field(default_factory=dict)

    def with_links(self, links: Iterable[LinkAnswer], at: float) -> MeshPicture:
        """With all links as they were answered at that time."""
        by_pair = {(link.src, link.dst): link for link in links}
        rtts = {pair: (*self.rtts.get(pair, ())[1 - _RECENT :], link.rtt_p50_s) for pair, link in by_pair.items()}
        return replace(self, links=by_pair, rtts=rtts, at=at, problem=None)

    def with_sites(self, sites: Iterable[SiteAnswer], at: float) -> MeshPicture:
        """With all sites as they were answered at that time."""
        return replace(self, sites={site.site: site for site in sites}, at=at, problem=None)

    def with_incidents(self, incidents: IncidentsAnswer) -> MeshPicture:
        """With these incidents."""
        return replace(self, incidents=incidents)

    def with_routes(self, routes: MeshRoutes) -> MeshPicture:
        """With the active routes under their objective."""
        return replace(self, routes={**self.routes, routes.objective: routes})

    def with_usual(self, week: SlaAnswer) -> MeshPicture:
        """With what the links were like over a week."""
        known = {(one.src, one.dst): one.rtt_p50_s for one in week.links if one.rtt_p50_s is not None}
        return replace(self, usual_rtts_s=known)

    def with_name(self, name: str) -> MeshPicture:
        """With the mesh's name."""
        return replace(self, name=name)

    def with_problem(self, problem: str) -> MeshPicture:
        """With the reason why nothing newer came."""
        return replace(self, problem=problem)

    def with_event(self, event: Event) -> MeshPicture:
        """With what an event says of one link; what others say is asked for."""
        if not isinstance(event, LinkEvent):
            return self
        link = event.link
        return replace(self, links={**self.links, (link.src, link.dst): link})

    def route(self, objective: str, src: str, dst: str) -> RouteSummary | None:
        """The pair's active route, if there is one."""
        routes = self.routes.get(objective)
        return next((one for one in routes.routes if (one.src, one.dst) == (src, dst)), None) if routes else None
