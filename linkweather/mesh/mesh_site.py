"""A site of the mesh: the place it is at, and how its peers measure it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from linkweather.mesh.mesh_fields import (
    PRINTABLE,
    STAMP_PORT,
    Address,
    Budget,
    Description,
    MethodName,
    MethodOptions,
    NotNegative,
    Port,
    Prefix,
    Settings,
    Tuple,
)

Bottleneck = Annotated[str, Field(min_length=1, max_length=64, pattern=PRINTABLE)]


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
    overrides the mesh's. `max_devices` is how many devices of a type it may have. `nat`: the site can open connections
    but cannot accept them; `address` is that of its NAT. Its throughput is tested both ways, and the site always
    connects; between two such sites every test fails as `no_reachable_end`. The latency and the path of its outgoing
    links are measured. Links towards it are not probed, because the NAT itself might answer: their rows fail as
    `behind_nat`, and they do not take over the other direction's RTT.
    """

    address: Address
    port: Port = STAMP_PORT
    method: MethodName = "stamp"
    options: MethodOptions = Field(default_factory=dict)
    tcp_port: Port = 443
    throughput: bool = True
    nat: bool = False
    shares: Bottleneck | None = None
    budget_bytes_per_day: Budget | None = None
    max_devices: Annotated[int, Field(ge=0, le=10**9)] | None = None
