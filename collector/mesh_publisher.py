"""Publishes the mesh: to every site its own part, and only what the broker does not have already.

The broker keeps the heads of all parts, and sends them after each connection: they say which parts it has. So a broker
that is new gets all of them, and one that was there only those that changed meanwhile; of several collectors that
publish the same mesh each finds the others' work done. The message on `mesh` goes out first and comes back behind the
heads: then they are known.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from linkweather.backoff import Backoff
from linkweather.containment import contained
from linkweather.mesh import Mesh
from linkweather.mesh.site_mesh import SiteMeshes
from linkweather.mqtt import HEADER_BYTES
from linkweather.wire import encode, topics
from linkweather.wire.mesh_parts import MeshHead, PublishedMesh, cut, version_of

log = logging.getLogger(__name__)

HEADS_LIMIT_S = 10.0
# So many sites' parts are on their way at once.
SITES_AT_ONCE = 20
MOST_STRANGERS = 1000

Publish = Callable[[str, bytes], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class _Part:
    head: MeshHead
    slices: Sequence[bytes]


class MeshPublisher:
    """Keeps the parts of `mesh` on the broker as they are, by `run`.

    `publish(topic, payload)` publishes retained and says whether the broker has it; `connected` whether there is one,
    `max_packet_bytes` what it takes.
    """

    def __init__(
        self,
        mesh: Mesh,
        *,
        journal: str,
        replaces: tuple[str, ...],
        publish: Publish,
        connected: Callable[[], bool],
        max_packet_bytes: Callable[[], int | None],
    ) -> None:
        self._mesh = mesh
        self._meshes: SiteMeshes | None = None
        self._journal = journal
        self._replaces = replaces
        self._publish = publish
        self._connected = connected
        self._max_packet_bytes = max_packet_bytes
        self._heads: dict[str, MeshHead] = {}
        self._strangers: dict[str, None] = {}
        self._announced: bytes | None = None
        self._heads_came = asyncio.Event()
        self._due = asyncio.Event()
        # Whether the broker has all that is to be published.
        self.settled = False

    def apply_mesh(self, mesh: Mesh) -> None:
        """Publish this mesh from now on."""
        self._mesh, self._meshes = mesh, None
        self._want()

    def on_connect(self) -> None:
        """Note a new connection: which parts this broker has is to be seen."""
        self._heads.clear()
        self._strangers.clear()
        self._announced = None
        self._heads_came.clear()
        self._want()

    def handle_announcement(self, payload: bytes) -> None:
        """What was published on `mesh`: behind our own message, the heads have come."""
        if payload == self._announced:
            self._heads_came.set()

    def handle_head(self, site: str, head: MeshHead) -> None:
        """The broker has this head."""
        self._heads[site] = head

    def handle_stranger(self, site: str) -> None:
        """A site that the mesh may not have is there: it is to learn that, unless another collector's mesh has it."""
        if site not in self._mesh.sites and site not in self._heads and len(self._strangers) < MOST_STRANGERS:
            self._strangers[site] = None
            self._want()

    def _want(self) -> None:
        self.settled = False
        self._due.set()

    async def run(self) -> None:
        """Publish what changes, until cancelled. Without a connection the next one has it published."""
        backoff = Backoff(rng=random.Random())  # noqa: S311 - it spreads load, and hides nothing
        while True:
            await self._due.wait()
            self._due.clear()
            with contained("mesh publisher"):
                while not await self._publish_all() and self._connected():  # noqa: ASYNC110 – no polling
                    await asyncio.sleep(backoff.next_s())
            backoff.reset()
            self.settled = self._connected() and not self._due.is_set()

    async def _publish_all(self) -> bool:
        """Whether the broker has it all now."""
        if not await self._announce():
            return False
        try:
            async with asyncio.timeout(HEADS_LIMIT_S):
                await self._heads_came.wait()
        except TimeoutError:
            log.warning(
                "our message on %s did not come back within %g s: let the collector read it", topics.MESH, HEADS_LIMIT_S
            )
            self._heads_came.set()
        mesh = self._mesh
        if self._meshes is None:
            made = await asyncio.to_thread(SiteMeshes, mesh)
            self._meshes = made if mesh is self._mesh else None
        meshes, sites = self._meshes, iter(self._sites())
        while meshes is not None and meshes is self._meshes and (some := list(islice(sites, SITES_AT_ONCE))):
            parts = await asyncio.to_thread(self._parts, meshes, some)
            if not all(await asyncio.gather(*(self._bring(*each) for each in parts.items()))):
                return False
        return True

    def _sites(self) -> list[str]:
        """Those of the mesh, and those that are to learn that they are not, or no longer, in it."""
        ours = {self._journal, *self._replaces}
        gone = [site for site, head in self._heads.items() if head.journal in ours]
        return list(dict.fromkeys([*self._mesh.sites, *gone, *self._strangers]))

    async def _announce(self) -> bool:
        announcement = PublishedMesh(name=self._mesh.name, journal=self._journal, replaces=self._replaces)
        payload = encode(announcement)
        if payload == self._announced:
            return True
        self._announced = payload  # it may come back before it is acknowledged
        if await self._publish(topics.MESH, payload):
            return True
        self._announced = None
        return False

    async def _bring(self, site: str, part: _Part) -> bool:
        """Publish a site's part, unless the broker has it: the head last, which makes the rest count."""
        present = self._heads.get(site)
        if part.head == present:
            return True
        for topic, payload in (*_messages(site, part), *_leftovers(site, part, present)):
            if not await self._publish(topic, payload):
                return False
        self._heads[site] = part.head
        return True

    def _parts(self, meshes: SiteMeshes, sites: Iterable[str]) -> dict[str, _Part]:
        return {site: self._part(meshes.encoded(site), site) for site in sites}

    def _part(self, payload: bytes, site: str) -> _Part:
        limit, overhead = self._max_packet_bytes(), HEADER_BYTES + len(topics.part(site, 9999).encode())
        slices = cut(payload, None if limit is None else limit - overhead)
        head = MeshHead(journal=self._journal, replaces=self._replaces, version=version_of(payload), parts=len(slices))
        return _Part(head, slices)


def _messages(site: str, part: _Part) -> Iterator[tuple[str, bytes]]:
    yield from ((topics.part(site, number), payload) for number, payload in enumerate(part.slices))
    yield topics.mesh(site), encode(part.head)


def _leftovers(site: str, part: _Part, present: MeshHead | None) -> Iterable[tuple[str, bytes]]:
    """An empty message takes a retained one away."""
    return ((topics.part(site, number), b"") for number in range(part.head.parts, present.parts if present else 0))
