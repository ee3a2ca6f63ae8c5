"""A collector's part in a cluster: it publishes the state rows of its own sites, and takes in those of all others.

The retained rows are the restart snapshot, too: a collector that starts knows every link as soon as a broker has sent
them, and decides only then.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from collector.cluster import shares
from collector.cluster.cluster_links import ClusterLinks
from collector.cluster.mesh_view import Columns, MeshView, columns_of, packed, unpacked
from collector.linkstate.link_states import LinkStates
from collector.linkstate.report_moments import ReportMoment
from collector.linkstate.site_devices import Capacities
from collector.linkstate.site_states import SiteStates
from collector.settings import ClusterSettings, StateSettings
from linkweather.containment import contained
from linkweather.errors import MessageError
from linkweather.mesh import Mesh
from linkweather.wire import topics
from linkweather.wire.state_rows import StateRow, StateRowHead, decode_state_row, encode_state_row

# The reports of a site that come together make one row.
ROUND_S = 1.0
# After a start, so long is waited for the rows of all sites.
FILL_LIMIT_S = 5.0
_DEVICES_BOOT = ""  # devices come with a row, and not from an outbox

Publish = Callable[[str, bytes], Awaitable[bool]]


class Cluster:
    """Who keeps which sites, and the rows.

    `publish` sends a retained message, and says whether a broker took it; `subscribe_again` makes the connection follow
    `subscriptions`.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        mesh: Mesh,
        state: StateSettings,
        *,
        links: LinkStates,
        sites: SiteStates,
        capacities: Capacities,
        publish: Publish,
        subscribe_again: Callable[[], Awaitable[None]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._own_links = links
        self._sites = sites
        self._capacities = capacities
        self._publish = publish
        self._subscribe_again = subscribe_again
        self._shares_changed = False
        self._now = now
        self._view = MeshView(mesh, state)
        self.collector = settings.collector or socket.gethostname()
        number, _, count = (settings.share or f"0/{settings.partitions}").partition("/")
        # With Kafka none is owned before its group says so.
        self._shares, self._count = frozenset({int(number) - 1} if settings.share else ()), int(count)
        self._heads: dict[str, StateRowHead] = {}
        self._own: tuple[str, ...] = ()
        self._published: dict[str, float] = {}
        self._heard: set[str] = set()
        self._due: dict[str, None] = {}
        self._strangers: dict[str, str] = {}
        self._filled = asyncio.Event()
        self.refused: Counter[str] = Counter()
        self.links = ClusterLinks(links, self._view, self.owns, self.exchange)
        self._follow(mesh)

    def owns(self, site: str) -> bool:
        """Whether this collector takes a site's reports."""
        return shares.share_of(site, self._count) in self._shares

    def owner(self, site: str) -> str | None:
        """The collector that keeps the record of a site which is not this one's, in words; None for an own site."""
        if self.owns(site):
            return None
        head = self._heads.get(site)
        if head is None:
            return "another collector, which has not been heard of yet"
        return f"the collector {head.by}" + (f", {head.url}" if head.url else "")

    def subscriptions(self) -> list[str]:
        """The rows of all sites, and the reports of this collector's own; with Kafka those that come to its turn."""
        if self._settings.kafka:
            return [topics.ALL_STATES, f"$share/linkweather/{topics.ALL_REPORTS}"]
        return [topics.ALL_STATES, *(topics.reports_of(site) for site in self._own)]

    def own(self, shares_owned: frozenset[int], count: int) -> list[str]:
        """Own these shares from now on; the sites that are new to this collector."""
        before = set(self._own)
        self._shares, self._count = shares_owned, count
        self._own = shares.sites_of(shares_owned, count, self._order)
        new = [site for site in self._own if site not in before]
        self._due = {site: None for site in self._due if self.owns(site)} | dict.fromkeys(new)
        return new

    def apply_mesh(self, mesh: Mesh) -> None:
        """Adopt a changed mesh; its rows have other columns, so all are published again."""
        self._view.apply_mesh(mesh)
        self._follow(mesh)
        self._shares_changed = True
        self.publish_all()

    def publish_all(self) -> None:
        """Publish the rows of all own sites soon: a broker may have lost them."""
        self._due |= dict.fromkeys(self._own)

    def on_reports(self, sites: Iterable[str]) -> None:
        """New reports of these sites are in the link states."""
        self._due |= dict.fromkeys(site for site in sites if self.owns(site))

    def handle_row(self, site: str, payload: bytes) -> None:
        """Take in a site's row, also what this collector published itself before it was started again."""
        if site not in self._known:
            return
        try:
            row = decode_state_row(payload)
        except MessageError as error:
            self.refused[f"state_{error.reason}"] += 1
            return
        if row.head.mesh != self._view.digest:
            self.refused["state_of_another_mesh"] += 1
        elif (row.head.by, row.head.at) != (self.collector, self._published.get(site)):
            self._note_stranger(site, row.head)
            self._adopt(site, row)

    def sentences(self) -> list[str]:
        """What is wrong now."""
        return [
            f"the collector {by} publishes the state of {site}, which is in this collector's share "
            f"{self._settings.share}: give each collector a share and a name of its own"
            for site, by in sorted(self._strangers.items())
        ]

    async def filled(self) -> None:
        """Wait until there is a row of every site, or for FILL_LIMIT_S: decisions by less would be taken back."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FILL_LIMIT_S):
                await self._filled.wait()

    async def run(self) -> None:
        """Publish what is due, until cancelled; not before what others published is known."""
        await self.filled()
        while True:
            if self._shares_changed:
                self._shares_changed = False
                await self._subscribe_again()
            self.exchange()
            with contained("state row"):
                await self._publish_due()
            await asyncio.sleep(ROUND_S)

    async def _publish_due(self) -> None:
        for site in [site for site in self._due if site in self._heads]:
            # Before the wait: what comes meanwhile makes it due again.
            del self._due[site]
            self._published[site] = self._heads[site].at
            if not await self._publish(topics.state(site), self._row(site)):
                self._due[site] = None
                return

    def exchange(self) -> None:
        """Bring the view up to date with what this collector itself knows of its due sites."""
        for site in [site for site in self._due if self.owns(site) and site in self._known]:
            with contained("state row"):
                now = self._now()
                self._view.put(site, self._measured(site, now), now)
                self._heads[site] = self._head(site, now)

    def _follow(self, mesh: Mesh) -> None:
        self._order, self._known = tuple(mesh.sites), frozenset(mesh.sites)
        self._own = shares.sites_of(self._shares, self._count, mesh.sites)
        self._heads = {site: head for site, head in self._heads.items() if site in self._known}
        self._strangers = {site: by for site, by in self._strangers.items() if site in self._known}
        self._note_filled()

    def _measured(self, site: str, now: float) -> Columns:
        latency = self._own_links.latency_columns(self._view.places("latency", site), now)
        return columns_of(latency, self._own_links.goodput_columns(self._view.places("goodput", site), now))

    def _adopt(self, site: str, row: StateRow) -> None:
        self._view.put(site, unpacked(row), self._now())
        before = self._heads.get(site)
        if before is None or row.head.at > before.at:
            self._heads[site] = row.head
        if row.head.reported_at is not None:
            self._sites.reported(site, row.head.reported_at)
        if row.head.devices_at is not None and not self.owns(site):
            self._capacities.observe(site, ReportMoment(row.head.devices_at, _DEVICES_BOOT, 0), row.head.devices)
        self._heard.add(site)
        self._note_filled()

    def _note_filled(self) -> None:
        if self._heard >= self._known:
            self._filled.set()

    def _note_stranger(self, site: str, head: StateRowHead) -> None:
        # What another has published before is kept by the broker; what it publishes later than we did is a dispute.
        ours = self._heads.get(site)
        if head.by == self.collector or not self.owns(site) or self._settings.kafka:
            self._strangers.pop(site, None)
        elif ours is not None and ours.by == self.collector and head.at > ours.at:
            self._strangers[site] = head.by

    def _head(self, site: str, now: float) -> StateRowHead:
        devices_at, devices = self._capacities.newest(site)
        return StateRowHead(
            at=now,
            by=self.collector,
            url=self._settings.url,
            mesh=self._view.digest,
            latency=len(self._view.places("latency", site)[0]),
            goodput=len(self._view.places("goodput", site)[0]),
            reported_at=self._sites.reported_at(site),
            devices_at=devices_at,
            devices=devices,
        )

    def _row(self, site: str) -> bytes:
        return encode_state_row(StateRow(self._heads[site], packed(self._view.columns(site))))
