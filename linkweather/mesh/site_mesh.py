"""A site's part of the mesh: its own links, the sites at their ends, and its turns. Pure.

The part is a mesh itself, which has no more than a site needs: so a site measures by it as by the whole. Of the groups
it has those of the site, each as a hub (the site) and its spokes, in their order: the first one that has a link says
how it is measured, as in the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field

from linkweather.mesh.groups import Group
from linkweather.mesh.mesh_fields import SiteId
from linkweather.mesh.mesh_model import Link, Mesh
from linkweather.mesh.mesh_site import Bottleneck, Place, Site
from linkweather.mesh.tournament import Timetable, timetable
from linkweather.units import LONGEST_S

Slot = Annotated[int, Field(ge=0, le=10**8)]
_DESCRIBING = dict.fromkeys([*Place.model_fields, "max_devices"])
# Limits are the collector's to know.
_NOT_SENT: Any = {"sites": True, "limits": True, "groups": {"__all__": {"limits"}}}


class SiteMesh(Mesh):
    """What `site` needs of a mesh. Without it among `sites`, the mesh has no such site.

    `claimants` are the sites that test a link at each group of the part that shares a bottleneck; None: all sites do.
    `slots` are those of the table of turns, `places` those of the links that the site tests, by their source.
    """

    site: SiteId
    sites: Annotated[dict[SiteId, Site], Field(max_length=10_000)]
    claimants: Annotated[dict[Bottleneck, tuple[SiteId, ...]], Field(max_length=10_000)] | None = None
    slots: Slot = 0
    places: Annotated[dict[SiteId, Slot], Field(max_length=10_000)] = Field(default_factory=dict)

    def turns(self) -> Timetable:
        """The site's own places in the table of turns."""
        places = {(src, self.site): place for src, place in self.places.items()}
        return Timetable(places, self.slots, self.throughput.slot_s)

    def cycle_s(self, src: str) -> float:
        """The time in which the link from `src` is due once by the calendar."""
        every_s = min(self.tests(src, self.site).throughput.every_s, LONGEST_S)
        return max(every_s, self.slots * self.throughput.slot_s)


class SiteMeshes:
    """Makes the parts of one mesh."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._slots, self._places = _by_destination(timetable(mesh))
        self._sites = {name: _bare(site) for name, site in mesh.sites.items()}
        self._entries: dict[str, str] = {}
        self._claimants = None if mesh.complete else _claimants(mesh)
        self._groups: dict[str, list[int]] = {}
        for number, group in enumerate(mesh.groups, 1):
            for name in mesh.members(group.name):
                self._groups.setdefault(name, []).append(number)

    def of(self, site: str) -> SiteMesh:
        """The part of a site; where the mesh has no such site, one without sites."""
        mesh = self.mesh
        common = {name: getattr(mesh, name) for name in ("name", "latency", "throughput", "path", "packages")}
        # What was checked with the whole needs no check here.
        if site not in mesh.sites:
            return SiteMesh.model_construct(**common, site=site, sites={}, links=())
        peers = dict.fromkeys([*mesh.peers(site), *mesh.sources(site)])
        return SiteMesh.model_construct(
            **common,
            site=site,
            sites={name: self._sites[name] for name in (site, *peers)},
            links=() if mesh.complete else tuple(_links(mesh, site, peers)),
            groups=(Group(name="all", **_star(site, peers)),) if mesh.complete else self._stars(site, peers),
            claimants=self._claimants_of((site, *peers)),
            slots=self._slots,
            places=self._places.get(site, {}),
        )

    def encoded(self, site: str) -> bytes:
        """The part as compact JSON; each site's entry is made once for all parts that have it."""
        part = self.of(site)
        sites = ",".join(self._entry(name) for name in part.sites)
        rest = part.model_dump_json(exclude_none=True, exclude=_NOT_SENT)
        return f'{rest[:-1]},"sites":{{{sites}}}}}'.encode()

    def _entry(self, name: str) -> str:
        if name not in self._entries:
            self._entries[name] = f'"{name}":{self._sites[name].model_dump_json(exclude_defaults=True)}'
        return self._entries[name]

    def _claimants_of(self, sites: Iterable[str]) -> dict[str, tuple[str, ...]] | None:
        if not self._claimants:
            return None
        groups = dict.fromkeys(group for name in sites if (group := self.mesh.sites[name].shares))
        return {group: tuple(self._claimants.get(group, ())) for group in groups} or None

    def _stars(self, site: str, peers: Iterable[str]) -> tuple[Group, ...]:
        groups, mesh = self._groups.get(site, ()), self.mesh
        return tuple(
            mesh.groups[number - 1].model_copy(update=_star(site, _with(mesh, number, site, peers)))
            for number in groups
        )


def site_mesh(mesh: Mesh, site: str) -> SiteMesh:
    """A site's part of a mesh."""
    return mesh if isinstance(mesh, SiteMesh) else SiteMeshes(mesh).of(site)


def _by_destination(table: Timetable) -> tuple[int, Mapping[str, dict[str, int]]]:
    places: dict[str, dict[str, int]] = {}
    for (src, dst), place in table.places.items():
        places.setdefault(dst, {})[src] = place
    return table.slots, places


def _claimants(mesh: Mesh) -> dict[str, dict[str, None]]:
    """The sites that test a link at each group: a link's destination tests it."""
    found: dict[str, dict[str, None]] = {}
    if any(site.shares for site in mesh.sites.values()):
        for src, dst in mesh.pairs():
            for group in (mesh.sites[src].shares, mesh.sites[dst].shares):
                if group is not None:
                    found.setdefault(group, {})[dst] = None
    return found


def _bare(site: Site) -> Site:
    """A site without what describes its place, which no measurement needs."""
    return site.model_copy(update={"prefixes": (), **{name: None for name in _DESCRIBING if name != "prefixes"}})


def _links(mesh: Mesh, site: str, peers: Mapping[str, None]) -> list[Link]:
    """The links that are measured as the mesh says."""
    found = []
    for peer in peers:
        ways = [pair for pair in ((site, peer), (peer, site)) if mesh.has(*pair) and not mesh.group_of(*pair)]
        found += [Link(src=src, dst=dst, both=len(ways) == 2) for src, dst in ways[:1]]
    return found


def _with(mesh: Mesh, number: int, site: str, peers: Iterable[str]) -> list[str]:
    """The peers with which the group has a link of the site."""
    return [peer for peer in peers if number in {mesh.group_of(site, peer), mesh.group_of(peer, site)}]


def _star(site: str, peers: Iterable[str]) -> dict[str, Any]:
    own = {"sites": (site, *peers), "hubs": (site,)}
    return own | {"operator": None, "region": None, "nearest": None, "between": ()}
