"""An invitation's logic: its messages, who calls, who is refused and why, which answer is a result, the row. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from linkweather.errors import MeasurementError
from linkweather.mesh import Mesh
from linkweather.mesh.site_mesh import SiteMesh
from linkweather.wire import Answer, Invite, Served, ThroughputRow
from linkweather.wire.fields import printable
from probes.throughput.attention import MIN_GAP_S
from probes.throughput.iperf3_output import Build
from probes.throughput.limiting import SenderEvidence, agreed
from probes.throughput.result import Result
from probes.throughput.time_limits import MOST_RTT_S, UNKNOWN_RTT_S, duration_s

METHOD = "iperf3"
LEASED = "leased"
BUDGET = "budget"
TOO_SOON = "too_soon"
DISTURBED = "disturbed"
# How a test ends at its client when another is at its server.
SPOILED = frozenset({"busy", "refused", "timeout", "died", "protocol"})
NO_END = "no_reachable_end"
# These reasons pass: a test declined for one is postponed, and is no failed measurement.
FOR_NOW = frozenset({LEASED, BUDGET, TOO_SOON, "starting", "ports_taken", "no_broker", "no_mesh"})
RETRY_AFTER_S = 5.0
# The two ends do not see a test end at the same moment.
EARLY = 0.9
LEAST_ROUNDS = 0.25  # no weight of the collector's is less


@dataclass(frozen=True, slots=True)
class Declined:
    """The test did not take place, and the link is not to blame."""

    reason: str
    retry_after_s: float


def caller(mesh: Mesh, src: str, dst: str) -> str | None:
    """The end that places the call: the destination, where the source can be called; None where neither can."""
    if not mesh.sites[src].nat:
        return dst
    return None if mesh.sites[dst].nat else src


def unreachable(src: str, dst: str) -> ThroughputRow:
    """The row of a link that cannot be tested because neither of its ends can be called."""
    return failed(src, dst, NO_END, f"{src} and {dst} are both behind NAT: neither can call the other")


def refusal(
    by: str, site: str, invite: Invite, mesh: Mesh | None, *, ready: bool | None, rtt_s: float | None = None
) -> str | None:
    """Why `site` does not serve `by`; None when it does. `ready` says whether its iperf3 can serve; None: it has none.

    `rtt_s` is the RTT between them as we know it; the peer may have measured twice of it.
    """
    if mesh is None:
        return "no_mesh"
    if by == site or by not in mesh.sites or site not in mesh.sites:
        return "unknown_site"
    enabled = mesh.tests(site, by).throughput.enabled
    longest_rtt_s = MOST_RTT_S if rtt_s is None else 2 * max(rtt_s, UNKNOWN_RTT_S)
    checks = {
        "throughput_off": not (enabled and mesh.sites[by].throughput and mesh.sites[site].throughput),
        "too_long": not 0 < invite.duration_s <= duration_s(mesh.throughput.max_duration_s, longest_rtt_s),
        "missing": ready is None,
        "starting": ready is False,
        NO_END: caller(mesh, site, by) is None,
    }
    return next((reason for reason, holds in checks.items() if holds), None)


def distance_s(part: SiteMesh, dst: str, *, sent: bool) -> float:
    """How long after the end of a test the site of `part` declines the next one to `dst`.

    No schedule wants one sooner (`attention`): after a failure at the link's next turn, brought forward after a minute,
    and else in the second half of its cycle, which the collector may shorten to `LEAST_ROUNDS` of it. `sent` says
    whether the test moved anything.
    """
    round_s = part.turns().round_s
    cycle_s = max(LEAST_ROUNDS * part.tests(part.site, dst).throughput.every_s, round_s)
    return EARLY * (min(MIN_GAP_S, cycle_s / 2) if sent else round_s / 2)


def patience_s(remaining_s: float) -> float:
    """When to try again where a lease lasts at most so much longer: most tests end long before."""
    return min(remaining_s, RETRY_AFTER_S)


def proposed(
    test_id: str, longest_s: float, build: Build, max_bytes: int | None, addresses: tuple[str, ...] = ()
) -> Invite:
    """The invitation to a test of at most so long and so many bytes."""
    return Invite(
        id=test_id,
        duration_s=longest_s,
        iperf3=str(build),
        authentication=build.authentication,
        max_bytes=max_bytes,
        addresses=addresses,
    )


def accepted(invite: Invite, build: Build) -> Answer:
    """The answer of a source that will call: it names no port."""
    return Answer(id=invite.id, accepted=True, iperf3=str(build), authentication=build.authentication)


def evidence(invite: Invite, sent: SenderEvidence) -> Answer:
    """The answer of a source after the test: what its kernel saw."""
    served = Served(retransmits=sent.retransmits, congestion=sent.congestion, limited_by=sent.limited_by)
    return Answer(id=invite.id, accepted=True, served=served)


def declined(invite: Invite, reason: str, retry_after_s: float | None = None) -> Answer:
    """The answer that declines an invitation."""
    if reason in FOR_NOW and retry_after_s is None:
        retry_after_s = RETRY_AFTER_S
    return Answer(id=invite.id, accepted=False, reason=reason, retry_after_s=retry_after_s)


def not_tested(src: str, dst: str, answer: Answer) -> ThroughputRow | Declined:
    """The meaning of a declined invitation: wait, or a failed measurement where the peer cannot serve."""
    reason = answer.reason or "declined"
    if reason in FOR_NOW:
        return Declined(reason, answer.retry_after_s or RETRY_AFTER_S)
    return failed(src, dst, reason, f"{src} declined")


def not_served(src: str, dst: str, error: MeasurementError) -> ThroughputRow | Declined:
    """The meaning of a destination that could not serve, where the source was to call it: wait, or a failure."""
    if error.reason in FOR_NOW:
        return Declined(error.reason, RETRY_AFTER_S)
    return failed(src, dst, error.reason, error.detail)


def failed(src: str, dst: str, reason: str, detail: str) -> ThroughputRow:
    """The row of a test that failed."""
    return ThroughputRow(src=src, dst=dst, method=METHOD, failure=reason, detail=printable(detail))


def row(
    src: str, dst: str, result: Result, *, served: Served | None = None, rtt_loaded_s: float | None = None
) -> ThroughputRow:
    """The row of a test's result; what the receiver cannot know is taken from what the source `served`."""
    theirs = served or Served()
    return ThroughputRow(
        src=src,
        dst=dst,
        method=METHOD,
        failure=result.failure,
        detail=result.detail and printable(result.detail),
        goodput_bps=result.goodput_bps,
        goodput_low_bps=result.goodput_low_bps,
        goodput_high_bps=result.goodput_high_bps,
        goodput_10s_bps=result.goodput_10s_bps,
        bytes=result.bytes,
        duration_s=result.duration_s,
        streams=result.streams,
        retransmits=result.retransmits if result.retransmits is not None else theirs.retransmits,
        rtt_loaded_s=rtt_loaded_s,
        congestion=result.congestion or theirs.congestion,
        stopped_by=result.stopped_by,
        limited_by=agreed(result.limited_by, result.cpu_demand, theirs.limited_by),
    )
