"""The service that watches for incidents: snapshot and sites → incidents → the log of incidents, events, log lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np

from collector.incident_log_lines import SiteLines, log_incident, log_links, log_sentences
from collector.incidents.claims import ClaimConditions, suspect_sites
from collector.incidents.conditions import Evidence, LinkConditions, Subject, site_conditions
from collector.incidents.incident_book import Incident, IncidentBook
from collector.incidents.incident_words import answer, restored, summary
from collector.incidents.link_health import DEGRADED, LinkHealth, StateChanges
from collector.incidents.normals import LinkLimits
from collector.incidents.own_trouble import OwnTrouble
from collector.incidents.silences import Silences
from collector.incidents.traced_paths import TracedPaths
from collector.linkstate.site_states import SILENT_LEAST_S, SILENT_REPORTS
from collector.linkstate.snapshot import Snapshot
from collector.settings import IncidentSettings
from collector.store.incident_log import IncidentLog
from linkweather.containment import contained
from linkweather.mesh import Mesh
from linkweather.models.events import IncidentEvent
from linkweather.models.incidents import IncidentAnswer, IncidentsAnswer, SilenceAnswer
from linkweather.models.routes import NoRoute, RouteAnswer
from linkweather.models.state import SiteAnswer

LOOK_S = 2.0
# So many times as long as a look took is left for other work: a million links are looked at every some ten seconds.
REST = 20.0
PRUNE_S = 3600.0
MOST_UNWRITTEN = 1000  # incidents, while the disk takes nothing: beyond it the oldest are not recorded
_MOST_ROUTES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentSources:
    """What is watched, and who is asked; all on one event loop. `failing` names sinks and parts of the collector.

    `owns` says of a site whether this collector speaks for it: of several in a cluster, which all see the same, one
    records an incident and has people told. `degraded` takes the links that became so, or are so no more.
    `notify` has people told of an incident that is not silenced.
    `paths` are kept up to date by whoever takes reports in, `recorded_paths` those of the journal, as they `put` them.
    `waiting_s` is how long the oldest report waits to be committed; `not_hearing` notes that sites cannot be heard now.
    `clock_news` are sentences about clocks, once each.
    `claimed` are the sites that claim devices which they cannot have, each with a sentence.
    `suspect` takes the sites whose claims cannot be, each with a sentence, until an operator acknowledges it.
    """

    mesh: Callable[[], Mesh]
    snapshot: Callable[[float], Snapshot]
    sites: Callable[[float], Sequence[SiteAnswer]]
    failing: Callable[[], Iterable[tuple[Subject, Evidence]]]
    route: Callable[[str, str], RouteAnswer | NoRoute]
    emit: Callable[[IncidentEvent], None]
    paths: TracedPaths | None = None
    recorded_paths: Callable[[], Iterable[tuple[str, str, Sequence[str | None]]]] = tuple
    notify: Callable[[IncidentAnswer], None] = lambda _incident: None
    waiting_s: Callable[[float], float] = lambda _now: 0.0
    not_hearing: Callable[[float], None] = lambda _now: None
    clock_news: Callable[[float], Iterable[str]] = lambda _now: ()
    claimed: Callable[[], Mapping[str, str]] = dict
    suspect: Callable[[Mapping[str, str]], None] = lambda _sites: None
    degraded: Callable[[int, Iterable[tuple[str, str]]], None] = lambda _count, _links: None
    owns: Callable[[str], bool] = lambda _site: True


class IncidentWatch:
    """Looks every LOOK_S, or more seldom at very many links, by `run`; `incidents` answers who asks.

    `dropped` were never recorded.
    """

    def __init__(
        self,
        settings: IncidentSettings,
        log_: IncidentLog,
        sources: IncidentSources,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._log = log_
        self._sources = sources
        self._now = now
        self._links = LinkConditions(settings, tuple(sources.mesh().sites))
        self._mesh, self._limits = sources.mesh(), LinkLimits.of(sources.mesh())
        self._claims = ClaimConditions()
        self._own = OwnTrouble()
        self._site_lines = SiteLines(sources.owns)
        self._numbered = 0
        self._book = IncidentBook(settings, self._new_id, sources.paths)
        self._silences = Silences()
        self._untold: set[str] = set()  # incidents that lasted while they were silenced
        self._unwritten: dict[str, IncidentAnswer] = {}
        self._pruned_at = 0.0
        self.dropped = 0

    @property
    def lasting(self) -> Sequence[Incident]:
        """The incidents that last."""
        return self._book.open

    @property
    def health(self) -> LinkHealth:
        """How all links were at the last look."""
        return self._links.health

    def lasting_answers(self) -> list[IncidentAnswer]:
        """Those of which people are told, as they are answered; of acknowledged ones they were."""
        found = [self._answer(one) for one in self._book.open]
        return [one for one in found if one.silence is None or one.silence.incident is not None]

    def restore(self) -> None:
        """Go on with the incidents from before the collector ended. Blocks; before `run`."""
        now = self._now()
        if self._sources.paths is not None:
            for src, dst, addresses in self._sources.recorded_paths():
                self._sources.paths.put(src, dst, addresses)
        before = [restored(one, now) for one in self._log.lasting()]
        self._book.restore(before)
        self._silences = Silences(self._log.silences())
        self._untold = {one.id for one in self.silenced()}
        for incident in before:
            for subject in incident.now:
                condition = incident.conditions[subject]
                self._links.restore(subject, condition.evidence, condition.since, now)

    def silenced(self) -> list[IncidentAnswer]:
        """The incidents that last and of which people are not told now."""
        return [one for one in map(self._answer, self._book.open) if one.silence is not None]

    def silences(self) -> list[SilenceAnswer]:
        """What people are not told of now, the oldest first."""
        return self._silences.lasting(self._moment())

    async def silence(self, wanted: SilenceAnswer) -> bool:
        """Take a silence in, under an id of its own, and record it; false where there are too many."""
        return self._silences.add(wanted) and await self._written_silences()

    async def end_silence(self, id_: str) -> bool:
        """End a silence before its time; false where there is none of this id."""
        return self._silences.remove(id_) and await self._written_silences()

    async def _written_silences(self) -> bool:
        await asyncio.to_thread(self._log.put_silences, self.silences())
        return True

    async def run(self) -> None:
        """Watch until cancelled."""
        clock = asyncio.get_running_loop().time
        late_s = 0.0
        while True:
            begun_s = time.thread_time()
            with contained("incidents"):
                self._look(late_s)
            rest_s = max(LOOK_S, REST * (time.thread_time() - begun_s))
            with contained("incidents"):
                await self._write()
            due_s = clock() + rest_s
            await asyncio.sleep(rest_s)
            late_s = clock() - due_s

    async def finish(self) -> None:
        """Record what is not recorded yet."""
        await self._write()

    async def incidents(
        self,
        since: datetime,
        until: datetime,
        site: str | None,
        limit: int,
        ask: Callable[..., Awaitable[list[IncidentAnswer]]] = asyncio.to_thread,
    ) -> IncidentsAnswer:
        """Those that last, and those of the span that are over; of one site, or all. `ask` has a thread read them."""
        lasting = [self._answer(one) for one in self._book.open if site is None or site in _sites(one)]
        over = await ask(self._log.over, since, until, site, limit + 1)
        found = [*lasting, *(one for one in over if one.id not in self._unwritten)]
        links = sum(1 for _ in self._sources.mesh().pairs())
        return IncidentsAnswer(
            at=datetime.fromtimestamp(self._now(), UTC),
            sentence=summary(self._book.open, links),
            incidents=tuple(found[:limit]),
            omitted=max(0, len(found) - limit),
        )

    def _look(self, late_s: float = 0.0) -> None:
        now, mesh = self._now(), self._sources.mesh()
        silence_s = max(SILENT_REPORTS * mesh.longest_report_s, SILENT_LEAST_S)
        waiting_s = self._sources.waiting_s(now)
        failing = self._sources.failing()
        found = dict(self._own.look(failing, late_s=late_s, waiting_s=waiting_s, silence_s=silence_s, now=now))
        if not self._own.hearing(now):  # it is us who hear nothing: what was wrong stays as it was
            self._sources.not_hearing(now)
            found = {**self._book.of_others(), **found}
        else:
            sites = self._sources.sites(now)
            found |= site_conditions(sites)
            snapshot = self._sources.snapshot(now)
            found |= self._links.find(snapshot, self._limits_of(mesh))
            found |= self._claims.find(snapshot, mesh, self._book.open, self.silences(), self._sources.claimed())
            self._site_lines.log_changes(sites)
            log_sentences(self._sources.clock_news(now))
            health = self._links.health
            changes = self._own_changes(health)
            log_links(health, changes)
            self._emit_degraded(health, changes)
        self._tell_unsilenced()
        for incident in self._book.look(found, len(mesh.sites) - 1, now):
            if self._speaks_for(incident):
                self._enter(incident, now)
        self._sources.suspect(suspect_sites(self._book.open, self.silences()))

    def _limits_of(self, mesh: Mesh) -> LinkLimits:
        if mesh is not self._mesh:
            self._mesh, self._limits = mesh, LinkLimits.of(mesh)
        return self._limits

    def _emit_degraded(self, health: LinkHealth, changes: StateChanges) -> None:
        """The events of links that are degraded, or no more."""
        degraded = changes.of((changes.before == DEGRADED) | (changes.after == DEGRADED))
        self._sources.degraded(len(degraded), degraded.names(health.sites))

    def _own_changes(self, health: LinkHealth) -> StateChanges:
        own = np.array([self._sources.owns(site) for site in health.sites], bool)
        changes = self._links.changes
        return changes.of(own[changes.src])

    def _speaks_for(self, incident: Incident) -> bool:
        return incident.home is None or self._sources.owns(incident.home)

    def _enter(self, incident: Incident, now: float) -> None:
        found = self._answer(incident)
        log_incident(found)
        self._unwritten[found.id] = found
        while len(self._unwritten) > MOST_UNWRITTEN:
            del self._unwritten[next(iter(self._unwritten))]
            self.dropped += 1
        self._sources.emit(IncidentEvent(at=datetime.fromtimestamp(now, UTC), incident=found))
        if found.silence is None:
            self._untold.discard(found.id)
            self._sources.notify(found)
        elif found.until is None:
            self._untold.add(found.id)
        else:
            self._untold.discard(found.id)

    def _tell_unsilenced(self) -> None:
        """Have people told of what lasts still now that its silence is over."""
        if not self._untold:
            return
        silenced = {one.id for one in self.silenced()}
        for incident in self._book.open:
            if incident.id in self._untold - silenced and self._speaks_for(incident):
                self._sources.notify(self._answer(incident))
        self._untold &= silenced

    def _answer(self, incident: Incident) -> IncidentAnswer:
        found = answer(incident, [] if incident.until is not None else list(self._routes(incident)))
        return found.model_copy(update={"silence": self._silences.of(found, self._moment())})

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    def _routes(self, incident: Incident) -> Iterable[str]:
        """Where the traffic of the first of its links goes."""
        pairs = [(one.src, one.dst) for one in sorted(incident.now, key=str) if one.src and one.dst]
        for src, dst in pairs[:_MOST_ROUTES]:
            found = self._sources.route(src, dst)
            if isinstance(found, NoRoute):
                yield f"{src} → {dst} has no usable path"
            elif len(found.path.sites) > 2:
                yield f"traffic {src} → {dst} goes through {', '.join(found.path.sites[1:-1])}"
            else:
                yield f"traffic {src} → {dst} stays on the direct link"

    async def _write(self) -> None:
        batch = dict(self._unwritten)
        try:
            await asyncio.to_thread(self._record, list(batch.values()))
        except duckdb.Error:
            return  # ingest says so; the next look tries again
        for id_, one in batch.items():
            if self._unwritten.get(id_) is one:
                del self._unwritten[id_]

    def _record(self, incidents: Sequence[IncidentAnswer]) -> None:
        self._log.put(incidents)
        now = self._now()
        if now - self._pruned_at >= PRUNE_S:
            self._pruned_at = now
            self._log.prune(datetime.fromtimestamp(now, UTC) - timedelta(days=self._settings.keep_days))

    def _new_id(self, now: float) -> str:
        self._numbered += 1
        return f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S}-{self._numbered}"


def _sites(incident: Incident) -> set[str]:
    return {site for subject in incident.conditions for site in subject.sites}.union(incident.cause.names)
