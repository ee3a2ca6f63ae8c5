"""What is wrong at one moment: a table of conditions over the snapshot, and those of sites and sinks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from collector.incidents.link_health import DOWN, UNKNOWN, HealthBook, LinkHealth, LinkTest, StateChanges, moved
from collector.incidents.normals import LinkLimits, SlowMedians
from collector.linkstate.snapshot import Snapshot
from collector.settings import IncidentSettings
from linkweather.models.incidents import IncidentKind
from linkweather.models.state import DegradedKind, SiteAnswer
from linkweather.units import failed_probes

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]

MOST_CONDITIONS = 2000  # of one moment: more need no list to be bad
_FEW_PEERS = 2
_LOSS_FLOOR = 1e-4
_LOSS_FACTOR = 2.0  # over what is usual for a link that always loses some


@dataclass(frozen=True, slots=True)
class Subject:
    """What a condition is of: the link src → dst, the site `src`, or what `name` names."""

    kind: IncidentKind
    src: str | None = None
    dst: str | None = None
    name: str | None = None

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that it concerns."""
        return tuple(site for site in (self.src, self.dst) if site is not None)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The figure that says so, what is normal, the limit it is beyond, and the reason in words; None is none."""

    value: float | None = None
    normal: float | None = None
    detail: str | None = None
    limit: float | None = None


Conditions = Mapping[Subject, Evidence]


class LinkConditions:
    """Finds what is wrong with links, MOST_CONDITIONS at most; `health` has it of all links, held for a while.

    Remembers which links were ever in contact, and what is normal for each. A link that never was counts as down where
    its destination reports: at once where the first look finds it so, else after `close_after_s`, as a site that has
    just started is not reached by all at once.
    """

    health: LinkHealth
    changes: StateChanges  # what the last look changed

    def __init__(self, settings: IncidentSettings, sites: Sequence[str]) -> None:
        self._settings = settings
        self._sites = tuple(sites)
        self._position = {site: place for place, site in enumerate(sites)}
        self._seen = np.zeros((len(sites), len(sites)), bool)
        self._book = HealthBook(settings, self._sites)
        self.health, self.changes = LinkHealth.none(), StateChanges.none()
        self.rtt_s, self.jitter_s = SlowMedians(len(sites)), SlowMedians(len(sites))
        self.goodput_bps = SlowMedians(len(sites))
        self._loss = SlowMedians(len(sites))  # of the ratio plus _LOSS_FLOOR: most links lose nothing

    def find(self, snapshot: Snapshot, limits: LinkLimits | None = None) -> dict[Subject, Evidence]:
        """The conditions of all links at the snapshot's moment; limits of other sites than its own do not count."""
        self._follow(snapshot.sites)
        same = limits is not None and limits.sites == snapshot.sites
        tests = self._tests(snapshot, limits if limits and same else LinkLimits.none(snapshot.sites))
        self.health, self.changes = self._book.look(snapshot, tests)
        self._seen |= snapshot.usable | self._dead(snapshot)
        down = self._seen & ~snapshot.usable
        found = dict(_unreachable(snapshot.sites, down, self._seen))
        found |= {subject: Evidence() for subject in self._subjects("link_down", down, len(found))}
        for kind, test in tests.items():
            found |= {one: _evidence(test, *self._places(one)) for one in self._subjects(kind, test.wrong, len(found))}
        self.rtt_s.take(snapshot.rtt_p50_s, snapshot.at)
        self.jitter_s.take(snapshot.jitter_s, snapshot.at)
        self.goodput_bps.take(np.where(snapshot.goodput_fresh, snapshot.goodput_p50_bps, np.nan), snapshot.at)
        self._loss.take(snapshot.loss_ratio + _LOSS_FLOOR, snapshot.at)
        return found

    def restore(self, subject: Subject, figure: Evidence, since: float, at: float) -> None:
        """Remember of an incident from before a restart what is normal for its link, and since when it is not so."""
        if subject.src not in self._sites or subject.dst not in self._sites:
            return
        src, dst = self._sites.index(subject.src), self._sites.index(subject.dst)
        self._seen[src, dst] = True
        self._book.restore(src, dst, subject.kind, since, at)
        medians = {"latency": self.rtt_s, "jitter": self.jitter_s, "goodput": self.goodput_bps}.get(subject.kind)
        if medians is not None and figure.normal:
            medians.put(src, dst, figure.normal, at)

    def _dead(self, snapshot: Snapshot) -> Bools:
        """The links that have been down for a while, or since before the first look, to sites that report."""
        reports = (snapshot.contact != UNKNOWN).any(axis=1)
        new = snapshot.at - self.health.since < self._settings.close_after_s  # NaN is not
        dead: Bools = (snapshot.contact == DOWN) & reports & ~new
        return dead

    def _subjects(self, kind: IncidentKind, wrong: Bools, found: int) -> Iterator[Subject]:
        """The links that are wrong, as many as there is room for beside those found."""
        for src, dst in np.argwhere(wrong)[: max(0, MOST_CONDITIONS - found)].tolist():
            yield Subject(kind, self._sites[src], self._sites[dst])

    def _places(self, subject: Subject) -> tuple[int, int]:
        return self._position[subject.src or ""], self._position[subject.dst or ""]

    def _tests(self, snapshot: Snapshot, limits: LinkLimits) -> Mapping[DegradedKind, LinkTest]:
        """What is wrong with the links' figures: beyond what is normal for each, or beyond its limit."""
        rules, rtt_s, jitter_s = self._settings, self.rtt_s.level, self.jitter_s.level
        slow = np.maximum(rtt_s * rules.latency_factor, rtt_s + rules.latency_least_s)
        uneven = np.maximum(jitter_s * rules.jitter_factor, jitter_s + rules.jitter_least_s)
        usual_loss = np.maximum(self._loss.level - 2 * _LOSS_FLOOR, 0.0)
        lossy = np.fmax(rules.loss_ratio, _LOSS_FACTOR * usual_loss)
        return {
            "loss": _above(snapshot.usable, snapshot.loss_ratio, lossy, limits.loss_ratio, usual_loss),
            "latency": _above(snapshot.fresh, snapshot.rtt_p50_s, slow, limits.rtt_s, rtt_s),
            "jitter": _above(snapshot.fresh, snapshot.jitter_s, uneven, limits.jitter_s, jitter_s),
            "goodput": _below(snapshot, self.goodput_bps.level, rules.goodput_ratio, limits.goodput_bps),
        }

    def _follow(self, sites: tuple[str, ...]) -> None:
        if sites == self._sites:
            return
        origins = np.array([self._position.get(site, -1) for site in sites], dtype=np.intp)
        self._sites, self._seen = sites, moved(self._seen, origins, fill=False)
        self._position = {site: place for place, site in enumerate(sites)}
        self._book = self._book.moved(sites, origins)
        self._loss = self._loss.moved(origins)
        self.rtt_s, self.jitter_s = self.rtt_s.moved(origins), self.jitter_s.moved(origins)
        self.goodput_bps = self.goodput_bps.moved(origins)


def site_conditions(sites: Sequence[SiteAnswer]) -> Iterator[tuple[Subject, Evidence]]:
    """Sites that are offline after they reported, whose clock is wrong, or who got probes by another key."""
    of_mesh = {site.address: site.site for site in sites}
    for site in sites:
        if site.state == "offline" and site.report_age_s is not None:
            yield Subject("site_silent", site.site), Evidence(site.report_age_s, detail=site.reason)
        if site.clock is not None and site.clock_offset_s is not None:
            yield Subject("clock", site.site), Evidence(site.clock_offset_s)
        failed = site.failed_authentication or {}
        # Strangers, who may send whatever they like, are no incident.
        known = {f"{of_mesh[one]} ({one})": number for one, number in failed.items() if one in of_mesh}
        if known and site.state == "online":
            yield Subject("authentication", site.site), Evidence(sum(known.values()), detail=failed_probes(known))


def _unreachable(sites: Sequence[str], down: Bools, seen: Bools) -> Iterator[tuple[Subject, Evidence]]:
    """Sites whose links from all peers that can be reached themselves are down."""
    lost = np.zeros(len(sites), bool)
    for _ in range(2):  # once to find the sites that are gone, once more without counting these as peers
        peers = seen & ~lost[:, None]
        reaching = (peers & ~down).sum(axis=0)
        lost = (reaching == 0) & (seen.sum(axis=0) >= _FEW_PEERS)
    for place in np.flatnonzero(lost).tolist():
        yield Subject("site_unreachable", sites[place]), Evidence()


def _above(counts: Bools, value: Floats, usual: Floats, limit: Floats, normal: Floats) -> LinkTest:
    """Which figures, of the links that count, are above what is usual or above the limit."""
    beyond = value > limit
    return LinkTest(counts & (beyond | (value > usual)), value, normal, np.where(beyond, limit, np.nan))


def _below(snapshot: Snapshot, normal: Floats, ratio: float, limit: Floats) -> LinkTest:
    """Which goodputs are below a part of what is normal, or below the limit."""
    value = snapshot.goodput_p50_bps
    beyond = value < limit
    wrong = snapshot.goodput_fresh & (beyond | (value < normal * ratio))
    return LinkTest(wrong, value, normal, np.where(beyond, limit, np.nan))


def _evidence(test: LinkTest, src: int, dst: int) -> Evidence:
    value, normal, limit = (_known(one[src, dst]) for one in (test.value, test.normal, test.limit))
    return Evidence(value, normal, limit=limit)


def _known(value: np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None
