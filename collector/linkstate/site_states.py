"""What each site reports of itself: its status, and when it was last heard. Pure: times come in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from collector.linkstate.site_clocks import ClockFindings, SiteClocks
from linkweather.mesh import Mesh, Site
from linkweather.models.state import SiteAnswer, SiteCondition
from linkweather.units import age
from linkweather.wire import NextTest, Status

Places = npt.NDArray[np.integer]
SILENT_REPORTS: Final = 3  # of a site's report intervals
SILENT_LEAST_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class NextTests:
    """When links are tested next, as their destinations say: the links tested at all, and what each site says."""

    tested: frozenset[tuple[str, str]]
    statuses: Mapping[str, Status]
    tests: Mapping[str, Mapping[str, NextTest]]

    def of(self, src: str, dst: str, now: float) -> Mapping[str, Any]:
        """The fields of a link's answer that say when its throughput is tested next; no field without a status."""
        if (src, dst) not in self.tested:
            return {"next_test_waits_for": "disabled"}
        status, test = self.statuses.get(dst), self.tests.get(dst, {}).get(src)
        if status is not None and status.state == "offline":
            return {"next_test_waits_for": "offline"}
        if status is None or test is None:
            return {}
        in_s = max(0.0, test.at.timestamp() - now)
        return {
            "next_test_in_s": in_s,
            "next_test_reason": test.reason,
            "next_test_waits_for": test.waits_for,
            "next_test_rounds": test.rounds,
        }

    def known(self, sites: Sequence[str], src: Places, dst: Places) -> npt.NDArray[np.bool_]:
        """Of which links `of` has a field; their ends are places in `sites`."""
        place = {site: number for number, site in enumerate(sites)}
        said = np.zeros((len(sites), len(sites)), bool)
        for site, status in self.statuses.items():
            if site in place:
                sources = [place[one] for one in self.tests.get(site, ()) if one in place]
                said[slice(None) if status.state == "offline" else sources, place[site]] = True
        found: npt.NDArray[np.bool_] = said[src, dst]
        if len(self.tested) < len(src):
            pairs = zip(src.tolist(), dst.tolist(), strict=True)
            found |= np.fromiter(((sites[one], sites[other]) not in self.tested for one, other in pairs), bool)
        return found


class SiteStates:
    """The state of every site of the mesh. Statuses of other sites are dropped.

    A site is silent when nothing has come from it for a while during which the collector could hear it: `not_hearing`
    says when it could not. Reports that waited at the site break a silence, however old they are.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self.clocks = SiteClocks(mesh)
        self._statuses: dict[str, Status] = {}
        self._reported_at: dict[str, float] = {}
        self._heard_at: dict[str, float] = {}
        self._hearing_since = -math.inf
        self._next_tests: dict[str, dict[str, NextTest]] = {}
        self._tested = frozenset(mesh.tested_pairs())
        self.suspects: Mapping[str, str] = {}  # sites whose claims cannot be, each with a sentence

    def apply_mesh(self, mesh: Mesh) -> None:
        """Adopt a changed mesh."""
        self._mesh = mesh
        self._statuses = {site: status for site, status in self._statuses.items() if site in mesh.sites}
        self._reported_at = {site: at for site, at in self._reported_at.items() if site in mesh.sites}
        self._heard_at = {site: at for site, at in self._heard_at.items() if site in mesh.sites}
        self.clocks.apply_mesh(mesh)
        self._next_tests = {site: tests for site, tests in self._next_tests.items() if site in mesh.sites}
        self._tested = frozenset(mesh.tested_pairs())

    def forget_statuses(self) -> None:
        """Forget all statuses; a broker sends every retained one at each connection."""
        self._statuses.clear()

    def status(self, site: str, status: Status) -> None:
        """Set a site's status: its retained one, or its will."""
        if site in self._mesh.sites:
            self._statuses[site] = status
            self.clocks.status(site, status)
            self._next_tests[site] = {test.src: test for test in status.next_tests}

    def reported(self, site: str, at: float, heard_at: float | None = None) -> None:
        """Note a report of the site whose measurement ended `at`, and which came later, in seconds since the epoch."""
        if site in self._mesh.sites:
            self._reported_at[site] = max(at, self._reported_at.get(site, at))
            self._heard_at[site] = max(heard_at or at, self._heard_at.get(site, at))

    def not_hearing(self, now: float) -> None:
        """Up to now the collector could not take reports in: no site is silent for that."""
        self._hearing_since = now

    def said(self, site: str) -> Status | None:
        """A site's status as it was last published; None where it is not known."""
        return self._statuses.get(site)

    def reported_at(self, site: str) -> float | None:
        """When the measurement of the site's newest report ended, in seconds since the epoch."""
        return self._reported_at.get(site)

    def next_test(self, src: str, dst: str, now: float) -> Mapping[str, Any]:
        """As `NextTests.of`, now."""
        return NextTests(self._tested, self._statuses, self._next_tests).of(src, dst, now)

    def next_tests(self) -> NextTests:
        """What is known now of all links' next tests, for another thread."""
        return NextTests(self._tested, dict(self._statuses), dict(self._next_tests))

    def suspect(self, sites: Mapping[str, str]) -> None:
        """These sites, and no others, are suspect, each with a sentence that says why."""
        self.suspects = sites

    @property
    def offline(self) -> list[str]:
        """The sites whose status, or will, is offline."""
        return [site for site, status in self._statuses.items() if status.state == "offline"]

    def damage(self) -> list[str]:
        """What the sites say of files that they found damaged, a sentence a site."""
        return [
            f"the site {site} has set aside {_files(status.damaged_files)}, found damaged: delete what is not needed"
            for site, status in self._statuses.items()
            if status.damaged_files
        ]

    def sites(self, now: float) -> list[SiteAnswer]:
        """Every site of the mesh in the mesh's order, also sites never heard."""
        clocks = self.clocks.findings(now)
        return [self._answer(name, site, now, clocks) for name, site in self._mesh.sites.items()]

    def gone(self, now: float) -> dict[str, str]:
        """The sites that are offline, and why, as a reason of their links: for a tenth of what `sites` costs."""
        found = {site: self._condition(site, now) for site in self._mesh.sites}
        return {site: f"{site} is offline: {why}" for site, (state, _, why) in found.items() if state == "offline"}

    def _answer(self, name: str, site: Site, now: float, clocks: ClockFindings) -> SiteAnswer:
        status = self._statuses.get(name)
        reported_at = self._reported_at.get(name)
        state, since, reason = self._condition(name, now)
        return SiteAnswer(
            site=name,
            state=state,
            since=None if since is None else datetime.fromtimestamp(since, UTC),
            reason=reason or clocks.sentence(name),
            address=site.address,
            status_at=status.at if status else None,
            report_age_s=None if reported_at is None else max(0.0, now - reported_at),
            clock_offset_s=clocks.offsets_s.get(name),
            clock=clocks.sentence(name),
            version=status.version if status else None,
            capabilities=status.capabilities if status else (),
            # A will carries no numbers: null, not the zeroes of its defaults.
            outbox_reports=_stated(status, "outbox_reports"),
            dropped_reports=_stated(status, "dropped_reports"),
            refused_reports=_stated(status, "refused_reports"),
            oversized_reports=_stated(status, "oversized_reports"),
            damaged_reports=_stated(status, "damaged_reports"),
            dropped_datagrams=_stated(status, "dropped_datagrams"),
            throughput_tests=_stated(status, "throughput_tests"),
            budget_bytes_per_day=_stated(status, "budget_bytes_per_day"),
            budget_left_bytes=_stated(status, "budget_left_bytes"),
            throughput_problem=_stated(status, "throughput_problem"),
            suspect=self.suspects.get(name),
            overflows=_stated(status, "overflows"),
            unpublished=_stated(status, "unpublished"),
            damaged_files=_stated(status, "damaged_files"),
            failed_authentication=_stated(status, "failed_authentication"),
            compute_id=site.compute_id,
            operator=site.operator,
            region=site.region,
            latitude=site.latitude,
            longitude=site.longitude,
        )

    def _condition(self, site: str, now: float) -> tuple[SiteCondition, float | None, str | None]:
        """A site's state, since when it is offline, and why."""
        status, heard_at = self._statuses.get(site), self._heard_at.get(site)
        if status is not None and status.state == "offline":
            if status.at is None:  # a will, which was written before
                return "offline", heard_at, "its connection to the broker was lost"
            return "offline", status.at.timestamp(), "it was stopped"
        limit_s = max(SILENT_REPORTS * self._mesh.report_s(site), SILENT_LEAST_S)
        if heard_at is not None and now - max(heard_at, self._hearing_since) > limit_s:
            return "offline", heard_at, f"nothing came from it for {age(now - heard_at)}"
        return status.state if status else "unknown", None, None


def _files(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {name}" for name, count in sorted(counts.items()))


def _stated(status: Status | None, name: str) -> Any:
    if status is None or (status.state == "offline" and name not in status.model_fields_set):
        return None
    return getattr(status, name)
