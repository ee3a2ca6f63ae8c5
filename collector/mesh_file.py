"""The mesh file: the mesh's only source. A change that is invalid is refused, and the old mesh stays in force."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from linkweather import atomicfile, settings
from linkweather.errors import OperatorError
from linkweather.mesh import Mesh

log = logging.getLogger(__name__)

WATCH_INTERVAL_S = 1.0
Stamp = tuple[int, int, int]  # inode, size, mtime in ns


class MeshFile:
    """The mesh in force, and the file that it is from. `on_change(mesh)` is told of every new one."""

    def __init__(self, path: Path, on_change: Callable[[Mesh], None]) -> None:
        """Raise OperatorError when the file is missing or invalid: there is no old mesh to keep yet."""
        if not path.is_file():
            raise OperatorError(f"mesh = '{path}': there is no such file: write one, or name another with --mesh")
        self._path = path
        self._on_change = on_change
        self._stamp = _stamp(path)
        self.mesh = settings.load(path, Mesh)
        self.refused: str | None = None

    def reread(self) -> None:
        """Put the file's mesh into force, or remember why not."""
        self._stamp = _stamp(self._path)
        try:
            mesh = settings.load(self._path, Mesh)
        except OperatorError as error:
            self.refused = str(error)
            log.warning("%s; the mesh of before stays in force", error)
            return
        self.refused = None
        if mesh != self.mesh:
            self.mesh = mesh
            log.info("the mesh in force: %s", summary(mesh, str(self._path)))
            self._on_change(mesh)

    def replace(self, text: str) -> Mesh:
        """Write a mesh given as TOML text to the file, all or nothing, and put it into force.

        Raises OperatorError, with the sentence of the file's own check, when it is invalid.
        """
        settings.parse(text, Mesh, str(self._path))
        try:
            atomicfile.replace(self._path, text)
        except OSError as error:
            raise OperatorError(f"{self._path}: cannot be written: {error.strerror}") from None
        self.reread()
        return self.mesh

    async def watch(self) -> None:
        """Reread the file whenever it changes, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            if _stamp(self._path) != self._stamp:
                self.reread()


def summary(mesh: Mesh, name: str) -> str:
    """One line for people: `mesh.toml: 8 sites, 56 links`."""
    links = sum(1 for _ in mesh.pairs())
    return f"{name}: {_counted(len(mesh.sites), 'site')}, {_counted(links, 'link')}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
