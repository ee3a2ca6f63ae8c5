"""What is wrong at one moment: a table of conditions over the snapshot, and those of sites and sinks. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from collector.incidents.normals import SlowMedians
from collector.linkstate.snapshot import Snapshot
from collector.settings import IncidentSettings
from linkweather.models.incidents import IncidentKind
from linkweather.models.state import SiteAnswer

Bools = npt.NDArray[np.bool_]

SILENT_REPORTS = 3  # of a site's report intervals
SILENT_LEAST_S = 15.0
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
    """The figure that says so, what is normal, and the reason in words; None where there is none."""

    value: float | None = None
    normal: float | None = None
    detail: str | None = None


Conditions = Mapping[Subject, Evidence]


class LinkConditions:
    """Finds what is wrong with links, MOST_CONDITIONS at most.

    Remembers which links were ever in contact, and what is normal for each.
    """

    def __init__(self, settings: IncidentSettings, sites: Sequence[str]) -> None:
        self._settings = settings
        self._sites = tuple(sites)
        self._seen = np.zeros((len(sites), len(sites)), bool)
        self.rtt_s = SlowMedians(len(sites))
        self.goodput_bps = SlowMedians(len(sites))
        self._loss = SlowMedians(len(sites))  # of the ratio plus _LOSS_FLOOR: most links lose nothing

    def find(self, snapshot: Snapshot) -> dict[Subject, Evidence]:
        """The conditions of all links at the snapshot's moment."""
        self._follow(snapshot.sites)
        self._seen |= snapshot.usable
        down = self._seen & ~snapshot.usable
        found = dict(_unreachable(snapshot.sites, down, self._seen))
        for kind, wrong, value, normal in self._tests(snapshot, down):
            for src, dst in np.argwhere(wrong)[: MOST_CONDITIONS - len(found)].tolist():
                subject = Subject(kind, self._sites[src], self._sites[dst])
                found[subject] = Evidence(_known(value, src, dst), _known(normal, src, dst))
        self.rtt_s.take(snapshot.rtt_p50_s, snapshot.at)
        self.goodput_bps.take(np.where(snapshot.goodput_fresh, snapshot.goodput_p50_bps, np.nan), snapshot.at)
        self._loss.take(snapshot.loss_ratio + _LOSS_FLOOR, snapshot.at)
        return found

    def restore(self, subject: Subject, figure: Evidence, at: float) -> None:
        """Remember of an incident from before a restart what is normal for its link."""
        if subject.src not in self._sites or subject.dst not in self._sites:
            return
        src, dst = self._sites.index(subject.src), self._sites.index(subject.dst)
        self._seen[src, dst] = True
        medians = {"latency": self.rtt_s, "goodput": self.goodput_bps}.get(subject.kind)
        if medians is not None and figure.normal:
            medians.put(src, dst, figure.normal, at)

    def _tests(
        self, snapshot: Snapshot, down: Bools
    ) -> Iterator[tuple[IncidentKind, Bools, np.ndarray | None, np.ndarray | None]]:
        limits, rtt_s, goodput_bps = self._settings, self.rtt_s.level, self.goodput_bps.level
        slow = np.maximum(rtt_s * limits.latency_factor, rtt_s + limits.latency_least_s)
        usual_loss = np.maximum(self._loss.level - 2 * _LOSS_FLOOR, 0.0)
        lossy = snapshot.loss_ratio > np.fmax(limits.loss_ratio, _LOSS_FACTOR * usual_loss)
        poor = snapshot.goodput_fresh & (snapshot.goodput_p50_bps < goodput_bps * limits.goodput_ratio)
        yield "link_down", down, None, None
        yield "loss", snapshot.usable & lossy, snapshot.loss_ratio, usual_loss
        yield "latency", snapshot.fresh & (snapshot.rtt_p50_s > slow), snapshot.rtt_p50_s, rtt_s
        yield "goodput", poor, snapshot.goodput_p50_bps, goodput_bps

    def _follow(self, sites: tuple[str, ...]) -> None:
        if sites == self._sites:
            return
        position = {site: place for place, site in enumerate(self._sites)}
        origins = np.array([position.get(site, -1) for site in sites], dtype=np.intp)
        seen = np.zeros((len(sites), len(sites)), bool)
        stay = np.flatnonzero(origins >= 0)
        seen[np.ix_(stay, stay)] = self._seen[np.ix_(origins[stay], origins[stay])]
        self._sites, self._seen = sites, seen
        self._loss = self._loss.moved(origins)
        self.rtt_s, self.goodput_bps = self.rtt_s.moved(origins), self.goodput_bps.moved(origins)


def site_conditions(sites: Sequence[SiteAnswer], report_interval_s: float) -> Iterator[tuple[Subject, Evidence]]:
    """Sites that are offline or whose reports stopped, and those whose clock is wrong."""
    limit_s = max(SILENT_REPORTS * report_interval_s, SILENT_LEAST_S)
    for site in sites:
        silent_s = site.report_age_s
        if silent_s is not None and (site.state == "offline" or silent_s > limit_s):
            yield Subject("site_silent", site.site), Evidence(silent_s)
        if site.clock is not None and site.clock_offset_s is not None:
            yield Subject("clock", site.site), Evidence(site.clock_offset_s)


def _unreachable(sites: Sequence[str], down: Bools, seen: Bools) -> Iterator[tuple[Subject, Evidence]]:
    """Sites whose links from all peers that can be reached themselves are down."""
    lost = np.zeros(len(sites), bool)
    for _ in range(2):  # once to find the sites that are gone, once more without counting these as peers
        peers = seen & ~lost[:, None]
        reaching = (peers & ~down).sum(axis=0)
        lost = (reaching == 0) & (seen.sum(axis=0) >= _FEW_PEERS)
    for place in np.flatnonzero(lost).tolist():
        yield Subject("site_unreachable", sites[place]), Evidence()


def _known(values: np.ndarray | None, src: int, dst: int) -> float | None:
    if values is None or not np.isfinite(values[src, dst]):
        return None
    return float(values[src, dst])
