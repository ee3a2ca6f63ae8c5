"""The lab file: sites and the emulated links between them. Pure data; `settings.load` reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from linkweather.mesh import (
    SITE_ID,
    UNLIMITED_BYTES,
    LatencyTests,
    Link,
    Mesh,
    NotNegative,
    PathTests,
    Place,
    Positive,
    Settings,
    Site,
    SiteId,
    ThroughputTests,
    Tuple,
)
from linkweather.mesh.mesh_model import check_links

MAX_SITES = 250  # an address block of 10.77.0.0/24 for all of them
MAX_ROUTERS = 250  # likewise
Pair = tuple[str, str]
Share = Annotated[float, Field(ge=0, le=1)]


def _router_ids(value: str) -> str:
    if not all(SITE_ID.fullmatch(name) for name in value.split("/")):
        raise ValueError("a router's id, or those of several that share the load, as in r2/r3")
    return value


Via = Annotated[tuple[Annotated[str, AfterValidator(_router_ids)], ...], Tuple]


class LabDevices(Settings):
    """The devices of one type that a site reports for jobs."""

    total: Annotated[int, Field(ge=0)]
    free: Annotated[int, Field(ge=0)] | None = None
    queue_s: NotNegative | None = None
    usd_per_device_hour: NotNegative | None = None


class LabSite(Place):
    """A site of a lab; `devices` by type."""

    devices: dict[str, LabDevices] = Field(default_factory=dict)


class LabRouter(Settings):
    """A router, which links name in `via`. A silent one answers nothing; its answers show `labels`, its MPLS stack."""

    silent: bool = False
    mtu_bytes: Annotated[int, Field(ge=576, le=9000)] = 9000
    labels: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**20)], ...], Tuple] = ()


class Behaviour(Settings):
    """How one directed link treats packets.

    The one-way delay is uniform within `delay_s` ± `jitter_s`; `rate_bps` counts IP packets; a packet that would wait
    longer than `queue_s` before it is sent is dropped. Of the packets that arrive, `duplicate_ratio` come twice, and
    `reorder_ratio` skip the delay and so overtake those under way (as with netem). `via` are the routers on the way, at
    even distances; `r2/r3` stands for two that share the load by flow.
    """

    delay_s: NotNegative
    jitter_s: NotNegative = 0.0
    rate_bps: Positive = 1e9
    loss_ratio: Share = 0.0
    duplicate_ratio: Share = 0.0
    reorder_ratio: Share = 0.0
    queue_s: NotNegative = 0.1
    via: Via = ()

    @model_validator(mode="after")
    def _delay_stays_positive(self) -> Self:
        if self.jitter_s > self.delay_s:
            raise ValueError(f"jitter_s = {self.jitter_s:g}: must be at most delay_s, which is {self.delay_s:g}")
        return self


class LabLink(Link, Behaviour):
    """A directed link; `both` adds the same link in the opposite direction, through the same routers."""

    def behaviours(self) -> list[tuple[Pair, Behaviour]]:
        """Each of those pairs with its behaviour alone."""
        own = Behaviour.model_validate(self.model_dump(include=set(Behaviour.model_fields)))
        back = own.model_copy(update={"via": own.via[::-1]})
        return list(zip(self.pairs(), (own, back), strict=False))


class LabFile(Settings):
    """The sites of a lab, its links, and how its mesh is tested."""

    name: str = "lab"
    latency: LatencyTests = LatencyTests()
    throughput: ThroughputTests = ThroughputTests()
    path: PathTests = PathTests()
    routers: Annotated[dict[SiteId, LabRouter], Field(max_length=MAX_ROUTERS)] = Field(default_factory=dict)
    sites: Annotated[dict[SiteId, LabSite], Field(min_length=1, max_length=MAX_SITES)]
    links: Annotated[tuple[LabLink, ...], Tuple] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_links(self.links, self.sites, "lab")
        for number, link in enumerate(self.links):
            _check_via(number, link, self.routers)
        return self

    def behaviours(self) -> Iterator[tuple[Pair, Behaviour]]:
        """Every directed link with its behaviour."""
        for link in self.links:
            yield from link.behaviours()


def _check_via(number: int, link: LabLink, routers: Mapping[str, LabRouter]) -> None:
    for name in "/".join(link.via).split("/") if link.via else ():
        if name not in routers:
            raise ValueError(f"links[{number}].via: {no_router(name, routers)}")


def no_router(name: str, routers: Iterable[str]) -> str:
    """The sentence for an unknown router."""
    return f"{name!r}: no such router; the lab has {', '.join(routers) or 'none'}"


def first_sites(lab: LabFile, count: int) -> LabFile:
    """The lab cut to its first `count` sites and the links among them; all of it when it has fewer."""
    kept = dict(list(lab.sites.items())[:count])
    links = tuple(link for link in lab.links if link.src in kept and link.dst in kept)
    return lab.model_copy(update={"sites": kept, "links": links})


def mesh_of(lab: LabFile, addresses: Mapping[str, str]) -> Mesh:
    """The mesh that measures every link of the lab, with an address for each site."""
    sites = {
        name: Site(address=addresses[name], **site.model_dump(exclude={"devices"})) for name, site in lab.sites.items()
    }
    links = tuple(Link(src=link.src, dst=link.dst, both=link.both) for link in lab.links)
    throughput = lab.throughput
    if "budget_bytes_per_day" not in throughput.model_fields_set:  # bytes within one machine cost nothing
        throughput = throughput.model_copy(update={"budget_bytes_per_day": UNLIMITED_BYTES})
    return Mesh(name=lab.name, latency=lab.latency, throughput=throughput, path=lab.path, sites=sites, links=links)


def shipped(name: str) -> Path:
    """An example file by its path under config/, such as `labs/hubs.toml`, in a checkout or an installed wheel."""
    return Path(str(resources.files("linkweather").joinpath("config", name)))
