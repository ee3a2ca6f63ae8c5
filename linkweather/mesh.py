"""The mesh: the sites, the links to measure, and how. Pure data; `settings.load` reads its file."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from linkweather.errors import NoSuchSiteError

SITE_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
ARRANGE_S = 0.5  # of a slot, for invitation and answer
MAX_FLOWS = 8  # of a path test
MAX_HOPS, MOST_HOPS = 30, 64
MIN_BUDGET_BYTES = 16 * 2**20  # a smaller budget has no room for one useful test
TRACEROUTE_PORT = 33434  # traceroute's first UDP port
STAMP_PORT = 8620  # RFC 8762's own port, 862, needs privileges

METHOD_NAME = r"^[a-z][a-z0-9-]{0,31}$"
# Characters that move the cursor, end a line or reverse what follows: C0, DEL, C1, line separators, bidi overrides.
CONTROL_CHARACTERS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069"
PRINTABLE = rf"^[^{CONTROL_CHARACTERS}]*$"
# Thirty years, and the dearest gigabyte: beyond it a figure is a mistake, and arithmetic on it overflows.
MOST = 1e9

SiteId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Positive = Annotated[float, Field(gt=0, le=MOST)]
NotNegative = Annotated[float, Field(ge=0, le=MOST)]
Description = Annotated[str, Field(max_length=200, pattern=PRINTABLE)]
Budget = Annotated[int, Field(ge=MIN_BUDGET_BYTES, le=10**18)]
Port = Annotated[int, Field(ge=1, le=65535)]
FilePath = Annotated[Path, Field(strict=False)]  # TOML has no paths, only strings
PathMethod = Literal["udp", "icmp", "tcp"]

_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?")
_DOTTED = re.compile(r"[0-9.]+")


def _address(value: str) -> str:
    if ":" in value or _DOTTED.fullmatch(value):
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError("an IPv4 address, an IPv6 address or a host name") from None
    if not _HOST_NAME.fullmatch(value):
        raise ValueError("an IPv4 address, an IPv6 address or a host name")
    return value


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError("a prefix such as 192.0.2.0/24 or 2001:db8::/32") from None


def _method(value: str) -> str:
    if not re.fullmatch(METHOD_NAME, value):
        raise ValueError("the name of a prober: 1 to 32 of a–z, 0–9 and -, starting with a letter")
    return value


Address = Annotated[str, AfterValidator(_address)]
# The registered name of a prober. Which names are installed is for `mesh_methods` to say, not for the model.
MethodName = Annotated[str, AfterValidator(_method)]
# A prober's own options of a site, which its own model validates.
OptionText = Annotated[str, Field(max_length=2000, pattern=PRINTABLE)]
MethodOptions = Annotated[dict[OptionText, OptionText | int | float | bool], Field(max_length=32)]
Prefix = Annotated[str, AfterValidator(_network)]
# TOML has arrays, our settings are frozen.
Tuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)


class Settings(BaseModel):
    """Frozen settings with typed defaults. Files refuse unknown keys, the wire ignores them."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class Place(Settings):
    """A description of a place with compute; prices are USD per 10^9 bytes."""

    compute_id: Description | None = None
    operator: Description | None = None
    region: Description | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    prefixes: Annotated[tuple[Prefix, ...], Field(max_length=1000), Tuple] = ()
    egress_usd_per_gb: NotNegative | None = None


class Site(Place):
    """A place in the mesh. `address` is what its peers probe.

    `method` is the prober that measures the latency towards the site, `options` that prober's own settings. Sites with
    the same `shares` have a bottleneck in common: never two of their throughput tests at once. `budget_bytes_per_day`
    overrides the mesh's. `nat`: the site can open connections but cannot accept them; `address` is that of its NAT. Its
    throughput is tested both ways, and the site always connects; between two such sites every test fails as
    `no_reachable_end`. The latency and the path of its outgoing links are measured. Links towards it are not probed,
    because the NAT itself might answer: their rows fail as `behind_nat`, and they do not take over the other
    direction's RTT.
    """

    address: Address
    port: Port = STAMP_PORT
    method: MethodName = "stamp"
    options: MethodOptions = {}
    tcp_port: Port = 443
    throughput: bool = True
    nat: bool = False
    shares: Annotated[str, Field(min_length=1, max_length=64, pattern=PRINTABLE)] | None = None
    budget_bytes_per_day: Budget | None = None


class Link(Settings):
    """A directed pair of sites to measure; `both` adds the opposite direction."""

    src: SiteId
    dst: SiteId
    both: bool = False


class LatencyTests(Settings):
    """How latency is measured: a probe to each peer every `interval_s`, a row every `report_interval_s`.

    STAMP probes are padded (RFC 8972 §4.1) to `packet_bytes` of UDP payload; 0 leaves them as they are, 44 octets,
    authenticated 112.
    """

    interval_s: Positive = 0.1
    timeout_s: Positive = 1.0
    report_interval_s: Positive = 5.0
    authenticated: bool = False
    packet_bytes: Annotated[int, Field(ge=0, le=1472)] = 0


class ThroughputTests(Settings):
    """How throughput is measured: every link once in `every_s`, one test per slot and site.

    A link that was never measured, or whose figure has expired, is tested at its next turn. A test ends after
    `max_duration_s`; with `until_converged` as soon as its estimate has converged. A link whose tests agree waits
    longer from test to test, up to `quiet_factor` times; a shifted latency, loss or a new path brings its test forward.
    In no 24 hours do the tests of a site, sent and received, move more payload than `budget_bytes_per_day`, nor those
    of a link more than `link_budget_bytes_per_day`; unset is unlimited.
    """

    enabled: bool = True
    every_s: NotNegative = 600.0
    slot_s: Positive = 5.0
    max_duration_s: Annotated[float, Field(ge=0.5, le=60)] = 3.0
    until_converged: bool = True
    quiet_factor: Annotated[int, Field(ge=1, le=100)] = 6
    budget_bytes_per_day: Budget | None = None
    link_budget_bytes_per_day: Budget | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        least_s = self.max_duration_s + ARRANGE_S
        if self.slot_s < least_s:
            raise ValueError(
                f"slot_s = {self.slot_s}: must be at least {least_s:g}, "
                f"max_duration_s and {ARRANGE_S:g} s to arrange a test"
            )
        return self


class PathTests(Settings):
    """How paths are traced: every outgoing link once in `every_s`, over several flows, to find parallel paths.

    `udp` probes go to `udp_port`, where no program should listen; `tcp` probes to the site's `tcp_port`.
    """

    enabled: bool = True
    every_s: Positive = 300.0
    method: PathMethod = "udp"
    flows: Annotated[int, Field(ge=1, le=MAX_FLOWS)] = 4
    max_hops: Annotated[int, Field(ge=1, le=MOST_HOPS)] = MAX_HOPS
    udp_port: Port = TRACEROUTE_PORT


class Mesh(Settings):
    """The sites and the links between them. Without `links`, every pair is measured both ways.

    `packages` says which package offers a method that is not linkweather's own: a probe without it names it.
    """

    name: Description = "mesh"
    latency: LatencyTests = LatencyTests()
    throughput: ThroughputTests = ThroughputTests()
    path: PathTests = PathTests()
    sites: Annotated[dict[SiteId, Site], Field(min_length=1, max_length=10_000)]
    links: Annotated[tuple[Link, ...], Field(max_length=10**6), Tuple] | None = None
    packages: Annotated[dict[MethodName, Description], Field(max_length=1000)] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_addresses(self.sites)
        seen: set[tuple[str, str]] = set()
        for number, link in enumerate(self.links or ()):
            _check_link(number, link, self.sites, seen)
        return self

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every directed pair (src, dst) to measure."""
        if self.links is None:
            yield from ((src, dst) for src in self.sites for dst in self.sites if src != dst)
            return
        for link in self.links:
            yield link.src, link.dst
            if link.both:
                yield link.dst, link.src

    def tested_pairs(self) -> Iterator[tuple[str, str]]:
        """Every directed pair (src, dst) whose throughput is tested."""
        able = {name for name, site in self.sites.items() if site.throughput and self.throughput.enabled}
        return ((src, dst) for src, dst in self.pairs() if src in able and dst in able)

    def budget_bytes_per_day(self, site: str) -> int | None:
        """How much the throughput tests of a site may move in 24 hours; None is unlimited."""
        own = self.sites[site].budget_bytes_per_day
        return self.throughput.budget_bytes_per_day if own is None else own

    def site_id(self, name: str) -> str:
        """The id of the site that `name` names: an id, else a compute_id. Raises NoSuchSiteError."""
        if name in self.sites:
            return name
        found = [site_id for site_id, site in self.sites.items() if site.compute_id == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise NoSuchSiteError(f"the compute_id of the sites {', '.join(found)}: name one of them by its id")
        raise NoSuchSiteError(f"no such site; the mesh has {', '.join(self.sites)}")

    def peers(self, site: str) -> list[str]:
        """The sites to which `site` has a link."""
        return [dst for src, dst in self.pairs() if src == site]


def _check_addresses(sites: dict[str, Site]) -> None:
    owner: dict[tuple[str, int], str] = {}
    for name, site in sites.items():
        other = owner.setdefault((site.address, site.port), name)
        if other != name:
            raise ValueError(
                f"sites.{name}.address = {site.address!r}: already the address of site {other}, with the same port"
            )


def _check_link(number: int, link: Link, sites: dict[str, Site], seen: set[tuple[str, str]]) -> None:
    for end, site in (("src", link.src), ("dst", link.dst)):
        if site not in sites:
            raise ValueError(f"links[{number}].{end} = {site!r}: no such site; the mesh has {', '.join(sites)}")
    if link.src == link.dst:
        raise ValueError(f"links[{number}].dst = {link.dst!r}: a link joins two different sites")
    pairs = [(link.src, link.dst), (link.dst, link.src)][: 1 + link.both]
    for pair in pairs:
        if pair in seen:
            raise ValueError(f"links[{number}]: the link {pair[0]} → {pair[1]} is declared twice")
        seen.add(pair)
