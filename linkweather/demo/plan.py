"""What the demo starts: each process's command line, as a user would type it, and the mesh file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from linkweather.lab.labfile import LabFile, mesh_of
from linkweather.mesh import Mesh


@dataclass(frozen=True, slots=True)
class DemoPlaces:
    """Where a demo keeps its files and listens; sites reach the broker through `socket`, past the emulated network."""

    data_dir: Path
    socket: Path
    broker_port: int
    api_port: int
    page_port: int

    @property
    def api(self) -> str:
        """The API's URL."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def settings(self) -> Path:
        """The collector's settings file."""
        return self.data_dir / "collector.toml"

    @property
    def mesh(self) -> Path:
        """The mesh file."""
        return self.data_dir / "mesh.toml"


def mesh_toml(lab: LabFile, addresses: Mapping[str, str]) -> str:
    """The lab's mesh as the text of a mesh file."""
    mesh: Mesh = mesh_of(lab, addresses)
    values: dict[str, Any] = mesh.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return f"# The mesh of the demo; change it while the demo runs.\n{tomlkit.dumps(values)}"


def collector_toml(places: DemoPlaces) -> str:
    """The collector's settings that are not options: a demo is short, so active routes are sampled often."""
    return tomlkit.dumps({"evaluation": {"note_every_s": 10.0}, "page": {"port": places.page_port}})


def capacity_commands(program: Sequence[str], places: DemoPlaces, lab: LabFile) -> Iterator[list[str]]:
    """The commands that report the devices of each site, one for each type."""
    for site, its in lab.sites.items():
        for name, devices in its.devices.items():
            free = devices.total if devices.free is None else devices.free
            said = {"--queue": devices.queue_s, "--price": devices.usd_per_device_hour}
            options = [part for option, value in said.items() if value is not None for part in (option, f"{value:g}")]
            command = [*program, "capacity", "set", "--site", site, "--broker", f"unix://{places.socket}"]
            yield [*command, *options, f"{name}={devices.total}:{free}"]


def collector_command(program: Sequence[str], places: DemoPlaces) -> list[str]:
    """The collector with its embedded broker."""
    return [
        *program,
        "collector",
        *("--config", str(places.settings)),
        *("--broker", "embedded"),
        *("--broker-port", str(places.broker_port)),
        *("--broker-socket", str(places.socket)),
        *("--mesh", str(places.mesh)),
        *("--data-dir", str(places.data_dir / "collector")),
        *("--port", str(places.api_port)),
    ]


def probe_command(program: Sequence[str], places: DemoPlaces, site: str, address: str) -> list[str]:
    """A site's probe."""
    return [
        *program,
        "probe",
        *("--site", site),
        *("--broker", f"unix://{places.socket}"),
        *("--data-dir", str(places.data_dir / "sites" / site)),
        *("--bind", address),
    ]
