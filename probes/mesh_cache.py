"""The mesh that a site measures by: the newest valid one it received, kept on disk for a start without a broker.

A room of its own, because every measurement takes its mesh from here, and none decides which mesh is valid.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from pydantic import ValidationError

from linkweather import atomicfile
from linkweather.mesh import Mesh
from linkweather.mesh.site_mesh import SiteMesh, site_mesh

log = logging.getLogger(__name__)


class MeshCache:
    """Keeps the mesh of `site` in `path`. A mesh that the site cannot apply is refused; it keeps the one it has."""

    def __init__(self, site: str, path: Path, *, has_key: bool) -> None:
        self._site = site
        self._path = path
        self._has_key = has_key
        self.mesh: SiteMesh | None = None
        self._unkept: bytes | None = None

    def restore(self) -> bool:
        """Take the mesh of the last run; whether there is one that can be applied."""
        try:
            payload = self._path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("the mesh of the last run cannot be read from %s: %s", self._path, error.strerror)
            return False
        try:
            mesh = _kept(payload, self._site)
        except ValidationError as error:
            self._set_aside(error)
            return False
        return self._take(mesh)

    def accept(self, payload: bytes) -> bool:
        """Take the site's part of the mesh from the wire, whole.

        Whether it can be applied and differs from the present one. Then call `keep`.
        """
        try:
            mesh = SiteMesh.model_validate_json(payload)
        except ValidationError as error:
            log.warning("the collector's mesh is refused, the present one stays: %s", _sentence(error))
            return False
        if not self._take(mesh):
            return False
        self._unkept = payload
        return True

    def keep(self) -> None:
        """Write the present mesh to the disk, unless it is there. Blocks; any thread may call."""
        payload, self._unkept = self._unkept, None
        if payload is None:
            return
        try:
            atomicfile.replace(self._path, payload)
        except OSError as error:
            log.warning("the mesh cannot be kept in %s: %s", self._path, error.strerror)

    def _take(self, mesh: SiteMesh) -> bool:
        if mesh.latency.authenticated and not self._has_key:
            log.error("the mesh asks for authenticated tests: give this probe a key_file; the present mesh stays")
            return False
        if mesh.site != self._site:
            log.warning("the mesh is that of the site %s, and this is %s: it is not applied", mesh.site, self._site)
            return False
        if mesh == self.mesh:
            return False
        if self._site not in mesh.sites:
            log.warning("the mesh %s has no site %s: this probe measures nothing until it has", mesh.name, self._site)
        self.mesh = mesh
        return True

    def _set_aside(self, error: ValidationError) -> None:
        try:
            aside = f"is set aside as {atomicfile.set_aside(self._path).name}"
        except OSError as failed:
            aside = f"cannot be set aside: {failed.strerror}"
        log.error(
            "the mesh of the last run in %s is damaged (%s): it %s; the collector sends the mesh again",
            *(self._path, _sentence(error), aside),
        )


def _kept(payload: bytes, site: str) -> SiteMesh:
    """The mesh of the last run; that of an earlier version is a whole one."""
    try:
        return SiteMesh.model_validate_json(payload)
    except ValidationError:
        with contextlib.suppress(ValidationError):
            return site_mesh(Mesh.model_validate_json(payload), site)
        raise


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'mesh'}: {first['msg']}"
