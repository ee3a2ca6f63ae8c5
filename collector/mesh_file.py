"""The mesh file: the mesh's only source. An invalid change is refused, and the collector keeps the current mesh."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from linkweather import atomicfile
from linkweather.containment import contained
from linkweather.errors import OperatorError
from linkweather.mesh import Mesh
from linkweather.mesh_methods import load_mesh, parse_mesh
from linkweather.units import count

log = logging.getLogger(__name__)

WATCH_INTERVAL_S = 1.0
Stamp = tuple[int, int, int]  # inode, size, mtime in ns


class MeshFile:
    """The current mesh and its file. Each new mesh is passed to `on_change(mesh)`."""

    def __init__(self, path: Path, on_change: Callable[[Mesh], None]) -> None:
        """Raises OperatorError for a missing or invalid file: there is no mesh to keep yet."""
        if not path.is_file():
            raise OperatorError(f"mesh = '{path}': there is no such file: write one, or name another with --mesh")
        self._path = path
        self._on_change = on_change
        self._stamp = _stamp(path)
        self.mesh = load_mesh(path)
        self.refused: str | None = None

    def reread(self) -> None:
        """Read the file and apply its mesh; where it is invalid, `refused` says why."""
        self._take(*_read(self._path))

    def _take(self, stamp: Stamp | None, mesh: Mesh | OperatorError) -> None:
        self._stamp = stamp
        if isinstance(mesh, OperatorError):
            self.refused = str(mesh)
            log.warning("%s; the current mesh stays", mesh)
            return
        self.refused = None
        if mesh != self.mesh:
            self.mesh = mesh
            log.info("the mesh is now %s", summary(mesh, str(self._path)))
            with contained("mesh"):
                self._on_change(mesh)

    async def replace(self, text: str) -> Mesh:
        """Check a mesh given as TOML text, write it to the file in one step, and apply it.

        Raises OperatorError with the same sentence as for an invalid file, but for the file's folder: the caller may be
        a stranger.
        """
        parse_mesh(text, self._path.name)
        try:
            await asyncio.to_thread(self._write, text)  # a slow disk holds up no commit
        except OSError as error:
            raise OperatorError(f"{self._path.name}: cannot be written: {error.strerror}") from None
        self.reread()
        return self.mesh

    def _write(self, text: str) -> None:
        with atomicfile.changing(self._path.parent):  # `linkweather enrol` may be at it
            atomicfile.replace(self._path, text)

    async def watch(self) -> None:
        """Read the file again whenever it changes, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            if await asyncio.to_thread(_stamp, self._path) != self._stamp:
                self._take(*await asyncio.to_thread(_read, self._path))


def summary(mesh: Mesh, name: str) -> str:
    """One line for people: `mesh.toml: 8 sites, 56 links`."""
    return f"{name}: {count(len(mesh.sites), 'site')}, {count(mesh.link_count, 'link')}"


def _read(path: Path) -> tuple[Stamp | None, Mesh | OperatorError]:
    stamp = _stamp(path)
    try:
        return stamp, load_mesh(path)
    except OperatorError as error:
        return stamp, error


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
