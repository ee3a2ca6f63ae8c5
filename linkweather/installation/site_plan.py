"""What a site's machine gets: its keys, settings and unit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tomlkit

from linkweather.installation.places import Places, unit_files
from linkweather.installation.site_bundle import SiteBundle
from linkweather.installation.steps import RELOAD, Folder, Program, Step, TextFile, User, services

PROBE = "linkweather-probe"


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """What a site's operator decides."""

    throughput_ports: tuple[int, int] = (5201, 5210)


def site_plan(bundle: SiteBundle, options: SiteOptions, places: Places, shipped: Mapping[str, str]) -> list[Step]:
    """The steps; `shipped` has our unit files."""
    keys = places.config / "keys"
    return [
        User(places.user),
        Program(RELOAD, RELOAD),  # undone last, when the units are gone
        Folder(places.config, 0o755, places.owner, places.owner_group),
        Folder(keys, 0o700, places.user, places.group),
        *(TextFile(keys / name, text, 0o600, places.user, places.group) for name, text in bundle.files.items()),
        Folder(places.data, 0o750, places.user, places.group),
        Folder(places.data / "probe", 0o700, places.user, places.group, data=True),
        TextFile(
            places.config / "probe.toml",
            _settings(bundle, options, places),
            0o640,
            places.owner,
            places.group,
            settings=True,
        ),
        *unit_files([PROBE], shipped, places),
        *services(PROBE),
    ]


def firewall(bundle: SiteBundle, options: SiteOptions) -> Iterator[str]:
    """What the machine must let in, a line each."""
    first, last = options.throughput_ports
    whom = f"from {', '.join(bundle.peers)}" if bundle.peers else "from the other sites"
    yield f"UDP {bundle.udp_port}   {whom}: latency"
    yield f"TCP {first}–{last}   {whom}: throughput tests"
    yield "UDP 33434 and ICMP   from the other sites: path tracing"


def _settings(bundle: SiteBundle, options: SiteOptions, places: Places) -> str:
    keys = places.config / "keys"
    values: dict[str, Any] = {
        "site": bundle.site,
        "data_dir": str(places.data / "probe"),
        "key_file": str(keys / "mesh.key"),
        "throughput_ports": list(options.throughput_ports),
        "broker": {
            "url": bundle.broker,
            "ca_file": str(keys / "ca.crt"),
            "cert_file": str(keys / "site.crt"),
            "key_file": str(keys / "site.key"),
        },
    }
    head = "# Written by `linkweather init site`; yours to change. Every key: docs/settings.md.\n"
    return head + tomlkit.dumps(values)
