"""The mesh: the sites, the links to measure, and how. Pure data; `settings.load` reads its file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from linkweather.errors import NoSuchSiteError
from linkweather.mesh import patterns
from linkweather.mesh.groups import MOST_GROUPS, Group
from linkweather.mesh.link_tests import LatencyTests, Limits, LinkTests, PathTests, ThroughputTests
from linkweather.mesh.mesh_fields import (
    RESERVED_SITES,
    UNLIMITED_BYTES,
    Description,
    MethodName,
    Settings,
    SiteId,
    Tuple,
)
from linkweather.mesh.mesh_site import Site
from linkweather.mesh.patterns import Pair, few

# Of all groups together: beyond it no machine keeps the states of the links.
MOST_LINKS = 2_000_000
OF_MESH = 0  # in place of a group's number, which counts from 1: as the mesh itself says


class Link(Settings):
    """A directed pair of sites to measure; `both` adds the opposite direction."""

    src: SiteId
    dst: SiteId
    both: bool = False

    def pairs(self) -> list[Pair]:
        """The pairs that it declares."""
        return [(self.src, self.dst), (self.dst, self.src)][: 1 + self.both]


def check_links(links: Iterable[Link], sites: Collection[str], whole: str) -> None:
    """Raise ValueError where a link has an end that the `whole` has no site for, or a pair is declared twice."""
    seen: set[Pair] = set()
    for number, link in enumerate(links):
        for end, site in (("src", link.src), ("dst", link.dst)):
            if site not in sites:
                raise ValueError(f"links[{number}].{end} = {site!r}: no such site; the {whole} has {few(sites)}")
        if link.src == link.dst:
            raise ValueError(f"links[{number}].dst = {link.dst!r}: a link joins two different sites")
        for pair in link.pairs():
            if pair in seen:
                raise ValueError(f"links[{number}]: the link {pair[0]} → {pair[1]} is declared twice")
            seen.add(pair)


class Mesh(Settings):
    """The sites and the links between them: `links`, and those of the groups. With neither, every pair, both ways.

    A link of `links` is measured as the mesh says, any other one as the first group says that has it. The first group
    that has a site says what its budget is, and whether it may relay.

    `packages` says which package offers a method that is not linkweather's own: a probe without it names it.
    """

    name: Description = "mesh"
    latency: LatencyTests = LatencyTests()
    throughput: ThroughputTests = ThroughputTests()
    path: PathTests = PathTests()
    limits: Limits = Limits()
    sites: Annotated[dict[SiteId, Site], Field(min_length=1, max_length=10_000)]
    links: Annotated[tuple[Link, ...], Field(max_length=10**6), Tuple] | None = None
    groups: Annotated[tuple[Group, ...], Field(max_length=MOST_GROUPS), Tuple] = ()
    packages: Annotated[dict[MethodName, Description], Field(max_length=1000)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_reserved(self.sites)
        _check_addresses(self.sites)
        check_links(self.links or (), self.sites, "mesh")
        _check_names(self.groups)
        _check_count(self)
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As in pydantic; what follows from the fields is worked out anew."""
        copied = super().model_copy(update=update, deep=deep)
        for name in ("_members", "_from", "_into", "_tests", "_group_of", "relays"):
            copied.__dict__.pop(name, None)
        return copied

    @property
    def complete(self) -> bool:
        """Whether every pair of sites has its links, as neither `links` nor groups say which."""
        return self.links is None and not self.groups

    def pairs(self) -> Iterator[Pair]:
        """Every directed pair (src, dst) to measure, source by source."""
        return ((src, dst) for src in self.sites for dst in self.peers(src))

    def tested_pairs(self) -> Iterator[Pair]:
        """Every directed pair (src, dst) whose throughput is tested."""
        able = {name for name, site in self.sites.items() if site.throughput}
        enabled = [tests.throughput.enabled for tests in self._tests]
        return (
            (src, dst) for src, dst in self.pairs() if src in able and dst in able and enabled[self.group_of(src, dst)]
        )

    def peers(self, site: str) -> list[str]:
        """The sites to which `site` has a link."""
        if self.complete:
            return [other for other in self.sites if other != site] if site in self.sites else []
        return list(self._from.get(site, ()))

    def sources(self, site: str) -> list[str]:
        """The sites that have a link to `site`."""
        return self.peers(site) if self.complete else self._into.get(site, [])

    @property
    def degree(self) -> int:
        """The most links that any site has, in one direction."""
        if self.complete:
            return len(self.sites) - 1
        return max((len(ends) for ends in (*self._from.values(), *self._into.values())), default=0)

    def link_counts(self) -> Mapping[int, int]:
        """How many links each group says how to measure, by its number from 1; OF_MESH has those of the mesh."""
        if self.complete:
            return {OF_MESH: len(self.sites) * (len(self.sites) - 1)}
        return Counter(number for ends in self._from.values() for number in ends.values())

    @property
    def link_count(self) -> int:
        """How many links there are to measure."""
        return sum(self.link_counts().values())

    def has(self, src: str, dst: str) -> bool:
        """Whether the mesh has this link."""
        return (src != dst and {src, dst} <= self.sites.keys()) if self.complete else dst in self._from.get(src, ())

    def report_s(self, site: str) -> float:
        """How often a site reports its links: the shortest time between two rows of any of them."""
        groups = set(self._from.get(site, {}).values()) if not self.complete else {OF_MESH}
        return min(self._tests[group].latency.report_interval_s for group in groups or {OF_MESH})

    @property
    def longest_report_s(self) -> float:
        """The longest time between two rows of a link, of the mesh or of any group."""
        return max(tests.latency.report_interval_s for tests in self._tests)

    def group_of(self, src: str, dst: str) -> int:
        """The number of the group that says how a link is measured, from 1; OF_MESH where the mesh says it."""
        return OF_MESH if self.complete else self._from.get(src, {}).get(dst, OF_MESH)

    def tests(self, src: str, dst: str) -> LinkTests:
        """How a link is measured."""
        return self.tests_of(self.group_of(src, dst))

    def tests_of(self, group: int) -> LinkTests:
        """How the links of a group are measured, by its number from 1; those of the mesh by OF_MESH."""
        return self._tests[group]

    def budget_bytes_per_day(self, site: str) -> int | None:
        """How much the throughput tests of a site may move in 24 hours; None is unlimited."""
        own = self.sites[site].budget_bytes_per_day
        found = self._tests[self._group_of[site]].throughput.budget_bytes_per_day if own is None else own
        return found if found < UNLIMITED_BYTES else None

    @cached_property
    def relays(self) -> frozenset[str]:
        """The sites that may relay: by the first group that has a site; without one, it may."""
        groups = self._group_of
        return frozenset(
            name for name in self.sites if not groups[name] or self.groups[groups[name] - 1].may_relay(name)
        )

    def members(self, group: str) -> Collection[str]:
        """The sites of a group, in the order of the mesh. Raises KeyError for a name that no group has."""
        return self._members[group]

    def site_id(self, name: str) -> str:
        """The id of the site that `name` names: an id, else a compute_id. Raises NoSuchSiteError."""
        if name in self.sites:
            return name
        found = [site_id for site_id, site in self.sites.items() if site.compute_id == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise NoSuchSiteError(f"the compute_id of the sites {', '.join(found)}: name one of them by its id")
        raise NoSuchSiteError(f"no such site; the mesh has {few(self.sites)}")

    @cached_property
    def _members(self) -> dict[str, dict[str, None]]:
        found: dict[str, dict[str, None]] = {}
        for number, group in enumerate(self.groups):
            try:
                found[group.name] = dict.fromkeys(patterns.members(group, self.sites, found))
            except ValueError as error:
                raise ValueError(f"groups[{number}].{error}") from None
        return found

    @cached_property
    def _group_of(self) -> dict[str, int]:
        """The number of the first group that has a site, OF_MESH where none has."""
        first = dict.fromkeys(self.sites, OF_MESH)
        for number, group in reversed([*enumerate(self.groups, 1)]):
            first |= dict.fromkeys(self._members[group.name], number)
        return first

    @cached_property
    def _tests(self) -> tuple[LinkTests, ...]:
        own = LinkTests(self.latency, self.throughput, self.path, self.limits)
        return own, *(group.tests(own) for group in self.groups)

    @cached_property
    def _from(self) -> dict[str, dict[str, int]]:
        """Source → destination → the number of the group whose link it is."""
        found: dict[str, dict[str, int]] = {}
        for src, dst, number in self._declared():
            found.setdefault(src, {}).setdefault(dst, number)
        return found

    @cached_property
    def _into(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for src, dst in self.pairs():
            found.setdefault(dst, []).append(src)
        return found

    def _declared(self) -> Iterator[tuple[str, str, int]]:
        for link in self.links or ():
            yield from ((src, dst, OF_MESH) for src, dst in link.pairs())
        for number, group in enumerate(self.groups, 1):
            own = self._members[group.name]
            yield from ((src, dst, number) for src, dst in patterns.pairs(group, own, self.sites, self._members))


def _check_reserved(sites: dict[str, Site]) -> None:
    for name in sites.keys() & RESERVED_SITES.keys():
        raise ValueError(f"sites.{name}: reserved for {RESERVED_SITES[name]}; call the site otherwise")


def _check_addresses(sites: dict[str, Site]) -> None:
    owner: dict[tuple[str, int], str] = {}
    for name, site in sites.items():
        other = owner.setdefault((site.address, site.port), name)
        if other != name:
            raise ValueError(
                f"sites.{name}.address = {site.address!r}: already the address of site {other}, with the same port"
            )


def _check_names(groups: tuple[Group, ...]) -> None:
    seen: set[str] = set()
    for number, group in enumerate(groups):
        if group.name in seen:
            raise ValueError(f"groups[{number}].name = {group.name!r}: another group has this name")
        seen.add(group.name)


def _check_count(mesh: Mesh) -> None:
    """Refuse groups that cannot be, and more links than can be: before any is made."""
    links = 0
    for number, group in enumerate(mesh.groups):
        own = mesh.members(group.name)
        links += patterns.most_pairs(group, own, mesh._members)  # noqa: SLF001 - of the same module
        if links > MOST_LINKS:
            raise ValueError(f"groups[{number}]: {links:,} links up to this group; a mesh has at most {MOST_LINKS:,}")
        try:
            patterns.check(group, own, mesh.sites)
        except ValueError as error:
            raise ValueError(f"groups[{number}].{error}") from None
