"""What ails the sites, by what they and their links say, and what to do about each: what `linkweather doctor` prints.

Pure. A finding that many links share is one of the site at which it must be mended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from linkweather.models.incidents import IncidentAnswer
from linkweather.models.ledger import SinkAnswer
from linkweather.models.state import LinkAnswer, SiteAnswer
from linkweather.units import count, failed_probes

_NAMED: Final = 3
_WAITING: Final = 1000  # reports in an outbox: more than a broker that keeps up leaves there


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Something that is wrong with a site or the collector: what, and what to do."""

    subject: str
    what: str
    todo: str


@dataclass(frozen=True, slots=True)
class _LinkAilment:
    """A failure of measurements: at which end it is mended, what it means, and what to do."""

    end: Literal["src", "dst"]
    what: str
    todo: str


def diagnose(
    sites: Sequence[SiteAnswer],
    links: Sequence[LinkAnswer],
    incidents: Iterable[IncidentAnswer] = (),
    sinks: Iterable[SinkAnswer] = (),
) -> list[Diagnosis]:
    """All that is found: the collector first, then site by site."""
    found = [*_of_collector(incidents, sinks)]
    for site in sites:
        found += _of_site(site)
        found += _unreachable(site, links)
        found += _of_links(site.site, links)
        found += _stamps(site, links)
    return found


def _of_collector(incidents: Iterable[IncidentAnswer], sinks: Iterable[SinkAnswer]) -> Iterator[Diagnosis]:
    for incident in incidents:
        if incident.kind == "collector" and incident.until is None:
            todo = "look at the collector's log, its machine's load and disk, and its broker"
            yield Diagnosis("collector", incident.sentence, todo)
    for sink in sinks:
        if sink.error:
            yield Diagnosis(f"sink {sink.sink}", sink.error, f"see `linkweather archive list {sink.sink}`")


def _of_site(site: SiteAnswer) -> Iterator[Diagnosis]:
    for said, todo in _SITE_AILMENTS:
        what = said(site)
        if what:
            yield Diagnosis(site.site, what, todo)


def _many(field: str, what: str) -> Callable[[SiteAnswer], str | None]:
    def said(site: SiteAnswer) -> str | None:
        number = getattr(site, field)
        return f"{what}: {number}" if number else None

    return said


def _counts(field: str, what: str) -> Callable[[SiteAnswer], str | None]:
    def said(site: SiteAnswer) -> str | None:
        counts: Mapping[str, int] = getattr(site, field) or {}
        named = ", ".join(f"{name} {number}" for name, number in sorted(counts.items()) if number)
        return f"{what}: {named}" if named else None

    return said


def _offline(site: SiteAnswer) -> str | None:
    return f"it is offline: {site.reason or 'why is not known'}" if site.state == "offline" else None


def _never(site: SiteAnswer) -> str | None:
    return "it has never been heard" if site.state == "unknown" and site.report_age_s is None else None


def _waits(site: SiteAnswer) -> str | None:
    waiting = site.outbox_reports or 0
    return f"{count(waiting, 'report')} wait in its outbox" if waiting > _WAITING else None


def _unanswered(site: SiteAnswer) -> str | None:
    number = site.dropped_datagrams or 0
    return f"its reflector left {count(number, 'datagram')} without an answer" if number else None


def _unsigned(site: SiteAnswer) -> str | None:
    return failed_probes(site.failed_authentication) if site.failed_authentication else None


_SITE_AILMENTS: Sequence[tuple[Callable[[SiteAnswer], str | None], str]] = (
    (_offline, "start its probe, or mend its way to the broker: `systemctl status linkweather-probe` there"),
    (_never, "start `linkweather probe` there; if it runs, check its `broker`, its `site` and the broker's password"),
    (lambda site: site.clock, "synchronise the clock, by NTP say: `timedatectl set-ntp true`"),
    (lambda site: site.suspect, "check its coordinates in the mesh and who runs it; then `linkweather incidents ack`"),
    (lambda site: site.throughput_problem, "install an iperf3 that can: see docs/deploying.md"),
    (_waits, "look at the broker and the way to it: reports come faster than they are taken"),
    (_many("dropped_reports", "reports lost to a full outbox"), "raise `outbox_max_bytes`, or mend what fills it"),
    (_many("refused_reports", "reports refused by the collector"), "see `linkweather ledger`: the reasons are there"),
    (_many("oversized_reports", "reports larger than the broker takes"), "raise the broker's `max_packet_size`"),
    (_many("damaged_reports", "reports lost to damage of its outbox"), "check the disk under its `data_dir`"),
    (_counts("damaged_files", "files were found damaged and set aside"), "check the disk, then delete what is aside"),
    (_counts("unpublished", "the broker would not take messages"), "give the site its lines in the broker's ACL"),
    (_counts("overflows", "more waited than there is room for"), "its machine has too much to do, or its disk is slow"),
    (_unsigned, "copy the mesh's key file to both ends and reload their probes, or find who else sends"),
    (_unanswered, "add its peers' addresses to `allow`, or find who else sends to its port"),
)


def _unreachable(site: SiteAnswer, links: Sequence[LinkAnswer]) -> Iterator[Diagnosis]:
    """A site that reports, and that no peer's probes reach: something between drops them."""
    into = [link for link in links if link.dst == site.site and link.failure != "behind_nat"]
    lost = [link for link in into if link.state == "down" and link.failure == "no_reply"]
    if site.state == "online" and len(into) > 1 and len(lost) == len(into):
        method = lost[0].method or "stamp"
        what = f"it reports, and no probe of its {count(len(into), 'peer')} is answered"
        port = "the `port` of the site in mesh.toml (8620, UDP)" if method == "stamp" else f"what {method} uses"
        yield Diagnosis(site.site, what, f"open {port} in its firewall, and check its `address`")


def _of_links(site: str, links: Iterable[LinkAnswer]) -> Iterator[Diagnosis]:
    """What measurements of its links fail for that is mended at this site, each once."""
    found: dict[_LinkAilment, list[LinkAnswer]] = {}
    for link in links:
        failures = [(link.failure_kind, link.failure), ("throughput", link.goodput_failure)]
        for kind, failure in dict.fromkeys(failures):
            ailment = _LINK_AILMENTS.get((kind or "", failure or ""))
            if ailment is not None and getattr(link, ailment.end) == site:
                found.setdefault(ailment, []).append(link)
    for ailment, some in found.items():
        peers = ", ".join(sorted({link.src if ailment.end == "dst" else link.dst for link in some})[:_NAMED])
        more, way = ", …" * (len(some) > _NAMED), "from" if ailment.end == "dst" else "to"
        which = f"on {count(len(some), 'link')} ({way} {peers}{more})"
        yield Diagnosis(site, f"{ailment.what}, {which}{_detail(some)}", ailment.todo)


def _detail(links: Sequence[LinkAnswer]) -> str:
    link = links[0]
    detail = link.goodput_failure_detail or link.failure_detail
    return f": {detail}" if detail else ""


_PORTS = "open `throughput_ports` of its probe.toml (5201 to 5210, TCP) in its firewall"
# The kind of measurement and the reason of its failure.
_LINK_AILMENTS: Mapping[tuple[str, str], _LinkAilment] = {
    ("latency", "wrong_key"): _LinkAilment("dst", "its replies have another key", "copy the mesh's key file there"),
    ("latency", "unresolved"): _LinkAilment(
        "dst", "its address is not resolved", "check `address` in the mesh, and DNS"
    ),
    ("latency", "short_reply"): _LinkAilment(
        "dst", "what answers is no STAMP reflector", 'set `method` of the site to "icmp" or "tcp", or start its probe'
    ),
    ("latency", "method_missing"): _LinkAilment("src", "its probe lacks a method", "install the package there"),
    ("path", "permission"): _LinkAilment(
        "src", "it may not trace paths", "give its probe raw sockets: AmbientCapabilities=CAP_NET_RAW in its unit"
    ),
    ("throughput", "no_program"): _LinkAilment("src", "it has no iperf3", "install iperf3 there"),
    ("throughput", "refused"): _LinkAilment("dst", "throughput tests are refused", _PORTS),
    ("throughput", "timeout"): _LinkAilment("dst", "throughput tests do not come through", _PORTS),
    ("throughput", "no_connection"): _LinkAilment("dst", "throughput tests do not come through", _PORTS),
    ("throughput", "no_reachable_end"): _LinkAilment(
        "dst", "both ends are behind NAT", "forward a port to one of them, or leave the throughput of this link off"
    ),
}


def _stamps(site: SiteAnswer, links: Iterable[LinkAnswer]) -> Iterator[Diagnosis]:
    """A site whose kernel stamps no packets."""
    if any(link.src == site.site and link.timestamp == "user" for link in links):
        what = "its kernel stamps no packets: RTTs have the scheduler's delays in them"
        yield Diagnosis(site.site, what, "use a kernel and a network card that stamp packets (SO_TIMESTAMPING)")
