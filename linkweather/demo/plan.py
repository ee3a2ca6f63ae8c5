"""What the demo starts: each process's command line, as a user would type it, and the mesh file; and its staged day.

The day is what happens to its links, so that there is something to see: one loses packets, one is cut and mended. On
the page both are seen within half a minute: a link is down after seconds, loss is an incident after 15 s.
"""

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


BEGIN_S = 8.0  # the first figures are there, and nothing was lost
LOSS_RATIO = 0.12


@dataclass(frozen=True, slots=True)
class StagedAct:
    """A change of one link, the sentence about it, and how long it stands.

    None leaves loss or cut as it is.
    """

    src: str
    dst: str
    sentence: str
    pause_s: float
    loss_ratio: float | None = None
    cut: bool | None = None


def staged_day(lab: LabFile) -> Iterator[StagedAct]:
    """One round of some three minutes, after which every link is again as the lab file says; none without a link."""
    directed, links = dict(lab.behaviours()), [(link.src, link.dst) for link in lab.links]
    if not links:
        return
    # In the lab of the hubs neither is a leg of the relayed paths that there are to find.
    lossy, cut = links[len(links) // 4], links[len(links) * 5 // 6]
    yield StagedAct(*lossy, _staged(f"{_link(*lossy)} loses {LOSS_RATIO:.0%} of its packets"), 10.0, LOSS_RATIO)
    yield StagedAct(*cut, _staged(f"{_link(*cut)} is cut"), 50.0, cut=True)
    yield StagedAct(*cut, _staged(f"{_link(*cut)} is restored"), 30.0, cut=False)
    usual = directed[lossy].loss_ratio
    yield StagedAct(*lossy, _staged(f"{_link(*lossy)} is well again; a minute of calm"), 60.0, usual)


def _link(src: str, dst: str) -> str:
    return f"{src} → {dst}"


def _staged(what: str) -> str:
    return f"Staged: {what} (--quiet stages nothing)."
