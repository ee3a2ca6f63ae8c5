"""Where an installation has its files, and its units: those that travel with linkweather, with its command. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from linkweather.installation.steps import OURS, TextFile


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of an installation; `command` is the program `linkweather` as units start it.

    `owner` has what the daemons only read, `user` what they write, and their keys.
    """

    command: Path
    config: Path = Path("/etc/linkweather")
    data: Path = Path("/var/lib/linkweather")
    units: Path = Path("/etc/systemd/system")
    user: str = OURS
    group: str = OURS
    owner: str = "root"
    owner_group: str = "root"

    @property
    def authority(self) -> Path:
        """The authority's folder, root's alone."""
        return self.config / "authority"

    @property
    def mesh(self) -> Path:
        """The mesh file, where `linkweather mesh push` can write it."""
        return self.data / "collector" / "mesh.toml"

    @property
    def enrolments(self) -> Path:
        """The bundles that wait for their sites."""
        return self.data / "enrolments"

    @property
    def enrolment(self) -> Path:
        """The enrolment server's certificate, key and settings."""
        return self.config / "enrolment"


def unit_files(names: Iterable[str], shipped: Mapping[str, str], places: Places) -> Iterator[TextFile]:
    """The units of these names as files; of those that `shipped` lacks, a package has the file already."""
    for name in (f"{name}.service" for name in names):
        if name in shipped:
            yield TextFile(
                places.units / name, _unit_text(shipped[name], places), 0o644, places.owner, places.owner_group
            )


def _unit_text(text: str, places: Places) -> str:
    for said, meant in (
        ("/opt/linkweather/bin", str(places.command.parent)),
        ("/etc/linkweather", str(places.config)),
        ("/var/lib/linkweather", str(places.data)),
        ("User=linkweather\n", f"User={places.user}\n"),
    ):
        text = text.replace(said, meant)
    return text
