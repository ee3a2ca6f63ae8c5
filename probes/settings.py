"""A probe's settings: `probe.toml`, or the options of `linkweather probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from linkweather.mesh import Address, Port, Settings, SiteId, Tuple
from probes.outbox import DEFAULT_MAX_BYTES


class ProbeSettings(Settings):
    """What a site's daemon must know before it has seen the mesh; everything else comes from the mesh.

    `bind` has at most one local address per address family; without it, every interface is used.
    `throughput_ports` is the first and the last port that one-off iperf3 servers may use.
    """

    site: SiteId
    broker: str = "mqtt://127.0.0.1:1883"
    data_dir: Annotated[Path, Field(strict=False)] = Path("/var/lib/linkweather/probe")
    key_file: Annotated[Path, Field(strict=False)] | None = None
    bind: Annotated[tuple[Address, ...], Tuple] = ()
    throughput_ports: Annotated[tuple[Port, Port], Tuple] = (5201, 5210)
    outbox_max_bytes: Annotated[int, Field(ge=65536)] = DEFAULT_MAX_BYTES

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        first, last = self.throughput_ports
        if first > last:
            raise ValueError(f"throughput_ports = [{first}, {last}]: the first port must not be above the last")
        return self
