"""A probe's settings: `probe.toml`, or the options of `linkweather probe`.

A room of its own, because tests and commands read settings without loading a measurement.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from linkweather.broker import BrokerSettings
from linkweather.mesh import RESERVED_SITES, Address, Port, Prefix, Settings, SiteId, Tuple
from probes.delivery.outbox import DEFAULT_MAX_BYTES


class ProbeMetricsSettings(Settings):
    """Where the probe's own metrics are, at `/metrics`; nowhere without a port."""

    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    port: Port | None = None


class ProbeSettings(Settings):
    """What a site's daemon must know before it has a mesh; everything else comes from the mesh.

    `bind` has at most one local address per address family; without it, every interface is used.
    `allow` names the prefixes whose latency probes are answered; these may also send the short requests of
    TWAMP-Light. Without it all other probes are answered, because a site behind NAT probes from an address that the
    mesh does not know; no reply is longer than its request, and the mesh's key keeps strangers out.
    `throughput_ports` is the first and the last port that one-off iperf3 servers may use.
    """

    site: SiteId
    broker: BrokerSettings = BrokerSettings()
    data_dir: Annotated[Path, Field(strict=False)] = Path("/var/lib/linkweather/probe")
    key_file: Annotated[Path, Field(strict=False)] | None = None
    bind: Annotated[tuple[Address, ...], Tuple] = ()
    allow: Annotated[tuple[Prefix, ...] | None, Tuple] = None
    throughput_ports: Annotated[tuple[Port, Port], Tuple] = (5201, 5210)
    outbox_max_bytes: Annotated[int, Field(ge=65536)] = DEFAULT_MAX_BYTES
    metrics: ProbeMetricsSettings = ProbeMetricsSettings()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.site in RESERVED_SITES:
            raise ValueError(f"site = {self.site!r}: reserved for {RESERVED_SITES[self.site]}; call the site otherwise")
        first, last = self.throughput_ports
        if first > last:
            raise ValueError(f"throughput_ports = [{first}, {last}]: the first port must not be above the last")
        return self
