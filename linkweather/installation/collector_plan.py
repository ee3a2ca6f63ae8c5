"""What a collector's machine gets: broker, collector and enrolment server, their settings and units. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tomlkit

from linkweather.installation.places import Places, unit_files
from linkweather.installation.steps import RELOAD, Folder, Program, Step, TextFile, User, services

BROKER = "linkweather-broker"
COLLECTOR = "linkweather-collector"
ENROLMENT = "linkweather-enrolment"


@dataclass(frozen=True, slots=True)
class CollectorOptions:
    """What an operator decides: the name by which sites reach this machine, and the ports."""

    host: str
    broker_port: int = 8883
    enrolment_port: int = 8486
    api_port: int = 8484

    @property
    def broker(self) -> str:
        """Its URL, as sites and the collector have it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtts://{host}:{self.broker_port}"


def collector_plan(
    options: CollectorOptions, places: Places, keys: Mapping[str, Mapping[str, str]], shipped: Mapping[str, str]
) -> list[Step]:
    """The steps. `keys` has the files for `broker`, `collector` and `enrolment`, by name; `shipped` our unit files."""
    user, group = places.user, places.group
    return [
        User(places.user),
        Program(RELOAD, RELOAD),  # undone last, when the units are gone
        Folder(places.config, 0o755, places.owner, places.owner_group),
        *_private(places, "broker", keys["broker"]),
        *_private(places, "collector", keys["collector"]),
        *_private(places, "enrolment", keys["enrolment"]),
        TextFile(places.enrolment / "enrolment.toml", _enrolment(options), 0o644, places.owner, group),
        Folder(places.data, 0o750, user, group),
        Folder(places.mesh.parent, 0o700, user, group, data=True),
        Folder(places.enrolments, 0o700, user, group, data=True),
        TextFile(
            places.config / "collector.toml", _settings(options, places), 0o640, places.owner, group, settings=True
        ),
        *unit_files(_UNITS, shipped, places),
        *services(BROKER, ENROLMENT),
        *services(COLLECTOR, start=False),  # it starts with the first site: a mesh has at least one
    ]


_UNITS: Sequence[str] = (BROKER, COLLECTOR, ENROLMENT)


def broker_text(text: str, port: int) -> str:
    """The broker's configuration with the port on which it listens."""
    return text.replace("listener 8883", f"listener {port}")


def firewall(options: CollectorOptions) -> Iterator[str]:
    """What the machine must let in, a line each."""
    yield f"TCP {options.broker_port}   from every site: reports, the mesh"
    yield f"TCP {options.enrolment_port}   from a new site, until it has its keys"


def _private(places: Places, name: str, files: Mapping[str, str]) -> Iterator[Step]:
    """A folder of keys that the daemons alone read."""
    folder = places.config / name
    yield Folder(folder, 0o700, places.user, places.group)
    for file, text in files.items():
        yield TextFile(folder / file, text, 0o600, places.user, places.group)


def _enrolment(options: CollectorOptions) -> str:
    return tomlkit.dumps({"host": options.host, "port": options.enrolment_port, "broker": options.broker})


def _settings(options: CollectorOptions, places: Places) -> str:
    keys = places.config / "collector"
    values: dict[str, Any] = {
        "data_dir": str(places.data / "collector"),
        "mesh": str(places.mesh),
        "broker": {
            "url": options.broker,
            "ca_file": str(keys / "ca.crt"),
            "cert_file": str(keys / "collector.crt"),
            "key_file": str(keys / "collector.key"),
        },
        "api": {"port": options.api_port},
    }
    head = "# Written by `linkweather init collector`; yours to change. Every key: docs/settings.md.\n"
    return head + tomlkit.dumps(values)
