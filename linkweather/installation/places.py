"""Where an installation has its files, and which command its units run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from linkweather.installation.steps import OURS


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
