"""The journal that a site follows, kept on disk: what collectors of others publish is ignored, counted and said.

A room of its own, because the mesh and `committed` are held to it alike.
"""

from __future__ import annotations

import logging
from pathlib import Path

from linkweather import atomicfile
from linkweather.wire.journals import MeshOrigin, followed

log = logging.getLogger(__name__)

_LONGEST = 64


class JournalChoice:
    """The id of the followed journal in `path`; None until a mesh has named one."""

    def __init__(self, site: str, path: Path) -> None:
        self._site = site
        self._path = path
        self._named: set[str] = set()
        self.journal = self._read()

    def takes_mesh(self, origin: MeshOrigin) -> bool:
        """Whether this mesh is of the followed journal, which it may become with it."""
        journal = followed(self.journal, origin)
        if journal is not None and journal != self.journal:
            if self.journal is not None:
                log.warning("the journal %s takes the place of %s, which this site followed", journal, self.journal)
            self.journal = journal
            self._write(journal)
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

    def _read(self) -> str | None:
        try:
            found = self._path.read_bytes().decode("ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning(
                "which journal this site follows cannot be read from %s (%s): the next mesh says", self._path, error
            )
            return None
        return found[:_LONGEST] or None

    def _write(self, journal: str) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomicfile.replace(self._path, journal)
        except OSError as error:
            log.warning("which journal this site follows cannot be kept in %s: %s", self._path, error.strerror)
