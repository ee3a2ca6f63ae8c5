"""The mesh in force at a site: the newest valid one it was sent, kept on disk for a start without a broker."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from linkweather import atomicfile
from linkweather.mesh import Mesh

log = logging.getLogger(__name__)


class Membership:
    """Keeps the mesh of `site` in `path`. A mesh that the site cannot follow is refused; the old one stays."""

    def __init__(self, site: str, path: Path, *, has_key: bool) -> None:
        self._site = site
        self._path = path
        self._has_key = has_key
        self.mesh: Mesh | None = None

    def restore(self) -> bool:
        """Take the mesh of the last run, when there is one; whether it is in force now."""
        try:
            payload = self._path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("the mesh of the last run cannot be read from %s: %s", self._path, error.strerror)
            return False
        return self.accept(payload)

    def accept(self, payload: bytes) -> bool:
        """Follow a mesh from the wire; whether it is in force now and differs from the one before."""
        try:
            mesh = Mesh.model_validate_json(payload)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "mesh"
            log.warning("the collector's mesh is refused, the old one stays in force: %s: %s", where, first["msg"])
            return False
        if mesh.latency.authenticated and not self._has_key:
            log.error("the mesh asks for authenticated tests: give this probe a key_file; the old mesh stays in force")
            return False
        if mesh == self.mesh:
            return False
        if self._site not in mesh.sites:
            log.warning("the mesh %s has no site %s: nothing to measure until it has", mesh.name, self._site)
        self.mesh = mesh
        try:
            atomicfile.replace(self._path, payload)
        except OSError as error:
            log.warning("the mesh cannot be kept in %s: %s", self._path, error.strerror)
        return True
