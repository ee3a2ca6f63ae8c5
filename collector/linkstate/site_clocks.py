"""The sites' clocks: how far each is from ours, by the reports that arrive. Pure: times come in.

Theory. A report says by the site's clock when its measurement ended, and arrives by ours:

    at - arrival = offset - (settling + way + waiting)

Settling, the time-out of the window's last probes, and the way take a second or two. Waiting in the outbox may take
days. All of them are positive, so each report says that the clock is ahead by `at - arrival` at least, and the largest
of the last reports comes within seconds of the offset. That a clock is behind follows only from reports that did not
wait: those that arrive while the site's status says that its outbox holds no more than is in flight, and over some
time, in which a report just made would have arrived among them.

Where most sites are off in one direction, and more than one, it is our own clock; theirs are then held against the
median of the sites that are off. One-way delays are no better witness: they are measured only between clocks that both
kernels call synchronised.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Final, NamedTuple

from linkweather.mesh import Mesh
from linkweather.models.state import LinkAnswer
from linkweather.units import age
from linkweather.wire import Status

# A clock is off by more than this and a probe's time-out: less is the way of the reports, or harms no state.
LIMIT_S: Final = 15.0
_AGAIN_SHARE: Final = 0.1  # a change by this share of the offset is named again
# More reports than a site has in flight wait.
_IN_FLIGHT_REPORTS: Final = 64
_WINDOW_S: Final = 60.0
_LEAST_REPORTS: Final = 3  # also where they come more rarely than the window
_MOST_REPORTS: Final = 32
_BEHIND_AFTER_S: Final = 10.0
_FORGOTTEN_AFTER_S: Final = 900.0


class _Sample(NamedTuple):
    arrival: float
    ahead_s: float


@dataclass(slots=True)
class _Heard:
    """What was heard of one site."""

    waits: bool = False
    samples: deque[_Sample] = field(default_factory=lambda: deque(maxlen=_MOST_REPORTS))
    ahead_s: float = -math.inf  # the most of the samples: all sites are asked far oftener than one reports

    def add(self, sample: _Sample) -> None:
        self.samples.append(sample)
        while len(self.samples) > _LEAST_REPORTS and abs(sample.arrival - self.samples[0].arrival) > _WINDOW_S:
            self.samples.popleft()
        self.ahead_s = max(sample.ahead_s for sample in self.samples)

    def offset_s(self, now: float) -> float | None:
        if not self.samples or now - self.samples[-1].arrival > _FORGOTTEN_AFTER_S:
            return None
        settled = abs(self.samples[-1].arrival - self.samples[0].arrival) >= _BEHIND_AFTER_S
        return self.ahead_s if settled or self.ahead_s > 0 else None


@dataclass(frozen=True, slots=True)
class ClockFindings:
    """How far clocks are off at one moment, in seconds, positive where ahead of ours.

    `offsets_s` are the sites' own, of those that are known; `ours_s` is how far ahead our clock is, if it is to blame,
    else 0; `sentences` has one for each site whose clock is wrong, and `ours` one about our own.
    """

    offsets_s: dict[str, float]
    ours_s: float
    wrong_s: dict[str, float]
    ours: str | None

    def sentence(self, site: str) -> str | None:
        """What is to be said of a site's clock: that it is wrong, or that ours is."""
        return _sentence(site, self.wrong_s[site]) if site in self.wrong_s else self.ours

    @property
    def sentences(self) -> dict[str, str]:
        """What is to be said of each site whose clock is wrong."""
        return {site: _sentence(site, wrong_s) for site, wrong_s in self.wrong_s.items()}

    def explained(self, links: Iterable[LinkAnswer]) -> list[LinkAnswer]:
        """The links, with the clock as the reason where that of one of the ends, or ours, is wrong."""
        if not self.wrong_s and self.ours is None:
            return list(links)
        return [
            link.model_copy(update={"reason": self.sentence(link.src if link.src in self.wrong_s else link.dst)})
            for link in links
        ]


class SiteClocks:
    """The clocks of the sites of the mesh. Reports of other sites are dropped."""

    def __init__(self, mesh: Mesh) -> None:
        self._said_s: dict[str | None, float] = {}
        self._heard: dict[str, _Heard] = {}
        self.apply_mesh(mesh)

    def apply_mesh(self, mesh: Mesh) -> None:
        """Adopt a changed mesh."""
        self._heard = {site: self._heard.get(site) or _Heard() for site in mesh.sites}
        self._limit_s = LIMIT_S + mesh.latency.timeout_s

    def status(self, site: str, status: Status) -> None:
        """Note a site's status, which says whether its reports wait."""
        heard = self._heard.get(site)
        if heard is not None and status.state == "online":
            heard.waits = status.outbox_reports > _IN_FLIGHT_REPORTS
            if heard.waits:
                heard.samples.clear()

    def reported(self, site: str, at: float, arrival: float) -> None:
        """Note a report: when its measurement ended by the site's clock, and when it arrived by ours."""
        heard = self._heard.get(site)
        if heard is not None and (at > arrival or not heard.waits):
            heard.add(_Sample(arrival, at - arrival))

    def findings(self, now: float) -> ClockFindings:
        """How far the clocks are off."""
        known = {site: heard.offset_s(now) for site, heard in self._heard.items()}
        offsets_s = {site: offset_s for site, offset_s in known.items() if offset_s is not None}
        blamed_s = self._common_s(list(offsets_s.values()))
        wrong_s = {site: one - blamed_s for site, one in offsets_s.items() if abs(one - blamed_s) > self._limit_s}
        ours = _our_sentence(-blamed_s, len(offsets_s) - len(wrong_s), len(offsets_s)) if blamed_s else None
        return ClockFindings(offsets_s, -blamed_s, wrong_s, ours)

    def news(self, now: float) -> list[str]:
        """What has changed by more than a little since the last call, in sentences for the log."""
        found = self.findings(now)
        off_s: dict[str | None, float] = {} if found.ours is None else {None: found.ours_s}
        off_s.update(found.wrong_s)
        said_s, self._said_s = self._said_s, {}
        news = []
        for subject, offset_s in off_s.items():
            self._said_s[subject] = said_s.get(subject, 0.0)
            if abs(offset_s - self._said_s[subject]) > max(self._limit_s, _AGAIN_SHARE * abs(offset_s)):
                self._said_s[subject] = offset_s
                news.append(str(found.ours) if subject is None else _sentence(subject, offset_s))
        for subject in [one for one in said_s if one not in off_s and (one is None or one in self._heard)]:
            if not self._agrees(subject, found):
                self._said_s[subject] = said_s[subject]
            elif subject is None or found.ours is None:  # otherwise it was ours that was wrong
                others = "those of most sites" if subject is None else "the collector's"
                news.append(f"{_name(subject)} agrees with {others} again")
        return news

    def _agrees(self, subject: str | None, found: ClockFindings) -> bool:
        """Whether a clock that was wrong is right again; not where it is nearly wrong still, or nothing is known."""
        if subject is None:
            return len(found.offsets_s) > 1
        return abs(found.offsets_s.get(subject, math.inf) + found.ours_s) <= self._limit_s / 2

    def _common_s(self, offsets_s: list[float]) -> float:
        """By how much most sites, and more than one, are off in one direction; 0 where they are not."""
        for sign in (1, -1):
            off_s = [offset_s for offset_s in offsets_s if sign * offset_s > self._limit_s]
            if len(off_s) > 1 and 2 * len(off_s) > len(offsets_s):
                return median(off_s)
        return 0.0


def _name(site: str | None) -> str:
    return "the collector's clock" if site is None else f"the clock of site {site}"


def _direction(offset_s: float) -> str:
    return f"{age(round(abs(offset_s)))} {'ahead of' if offset_s > 0 else 'behind'}"


def _sentence(site: str, offset_s: float) -> str:
    return f"{_name(site)} is {_direction(offset_s)} the collector's: synchronise it, by NTP say"


def _our_sentence(offset_s: float, agreeing: int, known: int) -> str:
    return f"{_name(None)} is {_direction(offset_s)} those of {agreeing} of {known} sites: synchronise it, by NTP say"
