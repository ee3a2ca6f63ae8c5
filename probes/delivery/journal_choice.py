"""The journal that a site follows, kept on disk: what collectors of others publish is ignored, counted and said.

A room of its own, because the mesh and `committed` are held to it alike.
"""

from __future__ import annotations

import contextlib
import logging
import zlib
from pathlib import Path

from linkweather import atomicfile
from linkweather.errors import OperatorError
from linkweather.wire.mesh_parts import MeshOrigin, followed

log = logging.getLogger(__name__)

_LONGEST = 64


class JournalChoice:
    """The id of the followed journal in `path`; None until a mesh has named one.

    A damaged file is set aside. Raises OperatorError for one that cannot be read: another journal is not followed for
    that.
    """

    def __init__(self, site: str, path: Path) -> None:
        self._site = site
        self._path = path
        self._named: set[str] = set()
        self.journal = self._kept = self._read()

    def takes_mesh(self, origin: MeshOrigin) -> bool:
        """Whether this mesh is of the followed journal, which it may become with it: then call `keep`."""
        journal = followed(self.journal, origin)
        if journal is not None and journal != self.journal:
            if self.journal is not None:
                log.warning("the journal %s takes the place of %s, which this site followed", journal, self.journal)
            self.journal = journal
        return self._is_followed(origin.journal)

    def takes_committed(self, journal: str | None) -> bool:
        """Whether a `committed` is of the followed journal."""
        return self._is_followed(journal)

    def _is_followed(self, journal: str | None) -> bool:
        if journal is None or self.journal is None or journal == self.journal:
            return True
        if journal not in self._named and len(self._named) < _LONGEST:
            self._named.add(journal)
            log.error(
                "a second collector, of the journal %s, is on this broker; %s follows the journal %s, and ignores it: "
                "stop one of them, or, where %s is to take the place of the other for good, set [journal] "
                'replaces = ["%s"] at its collector',
                *(journal, self._site, self.journal, journal, self.journal),
            )
        return False

    @property
    def unkept(self) -> bool:
        """Whether the choice is not on the disk yet."""
        return self.journal != self._kept

    def keep(self) -> None:
        """Write the choice to the disk. Blocks; any thread may call."""
        journal = self.journal
        if journal is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomicfile.replace(self._path, f"{journal} {_check(journal)}")
        except OSError as error:
            log.warning("which journal this site follows cannot be kept in %s: %s", self._path, error.strerror)
        else:
            self._kept = journal

    def _read(self) -> str | None:
        try:
            found = self._path.read_bytes().decode("ascii", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OperatorError(f"{self._path}: cannot be read: {error.strerror}") from None
        journal, _, check = found.strip().partition(" ")
        if journal and journal.isascii() and check in {"", _check(journal)}:  # earlier versions wrote no checksum
            return journal[:_LONGEST]
        with contextlib.suppress(OSError):
            log.error(
                "which journal this site follows, in %s, is damaged: it is set aside as %s, and the next mesh says it",
                *(self._path, atomicfile.set_aside(self._path).name),
            )
        return None


def _check(journal: str) -> str:
    return f"{zlib.crc32(journal.encode()):08x}"
