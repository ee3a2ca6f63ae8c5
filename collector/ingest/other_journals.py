"""Other journals on the same broker: a second collector, and sites that follow another journal. Said once each.

A room of its own beside ingest: what it hears are no reports.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from linkweather.containment import note_overflow
from linkweather.wire import Status, decode
from linkweather.wire.mesh_parts import MeshOrigin

log = logging.getLogger(__name__)

MOST = 64  # meshes of others, and sites that follow them; of further ones none is named


class OtherJournals:
    """What is known of journals other than `own`, and than those that it replaces, since the connection began."""

    def __init__(self, own: str, replaces: Collection[str] = ()) -> None:
        self._known = {own, *replaces}
        self._own = own
        self._meshes: set[str] = set()
        self._sites: dict[str, str] = {}
        self._said: set[tuple[str, str]] = set()

    def forget(self) -> None:
        """Note a new connection: the broker says again what is retained."""
        self._meshes.clear()
        self._sites.clear()

    def handle_mesh(self, payload: bytes) -> None:
        """Note whose mesh was published; ours comes back, too. Raises MessageError."""
        journal = decode(MeshOrigin, payload).journal
        if journal is None or journal in self._known:
            return
        if journal not in self._meshes and len(self._meshes) >= MOST:
            note_overflow("other journals")
            return
        self._meshes.add(journal)
        self._say(("mesh", journal), self._about_mesh(journal))

    def handle_status(self, site: str, status: Status) -> None:
        """Note which journal a site of the mesh follows."""
        if status.journal is None or status.journal in self._known:
            self._sites.pop(site, None)
            return
        if site not in self._sites and len(self._sites) >= MOST:
            note_overflow("other journals")
            return
        self._sites[site] = status.journal
        self._say((site, status.journal), self._about_site(site, status.journal))

    def sentences(self) -> list[str]:
        """What is wrong now."""
        return [self._about_mesh(journal) for journal in sorted(self._meshes)] + [
            self._about_site(site, journal) for site, journal in sorted(self._sites.items())
        ]

    def _say(self, what: tuple[str, str], sentence: str) -> None:
        if what not in self._said and len(self._said) < MOST:
            self._said.add(what)
            log.error("%s", sentence)

    def _about_mesh(self, journal: str) -> str:
        return (
            f"the mesh on this broker was published by another collector, of the journal {journal}; "
            f"ours is {self._own}: stop one of them; "
            f'where ours takes its place for good, set [journal] replaces = ["{journal}"]'
        )

    def _about_site(self, site: str, journal: str) -> str:
        return (
            f"the site {site} follows the journal {journal} and keeps its reports for that one, ours is {self._own}: "
            f'where ours takes its place for good, set [journal] replaces = ["{journal}"]'
        )
