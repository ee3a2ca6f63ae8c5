"""Admission: which reports enter the journal, and why others are refused. Pure.

A report enters without its bad rows, which are refused one by one; a report of which nothing is good, or whose envelope
is not, is refused whole. Its site must be in the mesh, where one is known; its rows are about sites and methods of the
mesh, or of one before it: a measurement to a peer that has since left is still a measurement.

No report is refused for its time: a clock is wrong, the site's or ours, and the site would delete what was measured. A
time later than the arrival counts as the arrival (`report_moments`), and `site_clocks` names the clock.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from collector.store.columns import Entry
from collector.store.quarantine import QuarantinedMessage
from collector.store.report_keys import Key
from linkweather.containment import note
from linkweather.errors import MessageError
from linkweather.mesh import Mesh
from linkweather.wire import (
    CONFLICT,
    Committed,
    LatencyReport,
    Message,
    Moment,
    Name,
    PathReport,
    RefusedRow,
    ReportNumber,
    ReportRefusal,
    ThroughputReport,
    decode,
    decode_report,
    encode,
    topics,
)

MAX_PAYLOAD_BYTES = 4_000_000
UNKNOWN_LINK = "unknown_link"
LinkRows = LatencyReport | ThroughputReport | PathReport
SHOWN_ROWS = 100  # of the strange ones of a report so many are kept to look at


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message as it arrived, not yet decoded."""

    topic: str
    payload: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """A message that never enters the journal; `site` and `key` (boot, seq) as far as they could be read."""

    message: IncomingMessage
    reason: str
    detail: str
    site: str | None
    key: tuple[str, int] | None


class _ReportKey(Message):
    boot: Name
    seq: ReportNumber


class _Envelope(_ReportKey):
    at: Moment


# How `encode` writes the beginning of a report: read so, a duplicate costs a hundredth of what decoding it would.
_BEGINNING = re.compile(rb'\{"v":1,"boot":"([^"\\]{1,64})","seq":(\d{1,16}),"at":"([^"\\]{20,32})"')


class ReportHead(NamedTuple):
    """What says which report a message has, and whether it is the one that is recorded under its key."""

    key: Key
    kind: str
    at: datetime


def head(message: IncomingMessage, sites: Collection[str] | None) -> ReportHead | None:
    """The head of a report without its body; None for what `admit` would refuse by its topic, sender or envelope."""
    topic = topics.parse(message.topic)
    if topic is None or topic.name != "report" or len(message.payload) > MAX_PAYLOAD_BYTES:
        return None
    if sites is not None and topic.site not in sites:
        return None
    try:
        boot, seq, at = _envelope(message.payload)
    except (MessageError, ValueError):
        return None
    return ReportHead((topic.site, boot, seq), topic.detail, at)


def measured_at(message: IncomingMessage) -> datetime | None:
    """When a message says that it was measured, if it begins as `encode` writes a report."""
    found = _BEGINNING.match(message.payload)
    try:
        at = datetime.fromisoformat(found[3].decode()) if found else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


def _envelope(payload: bytes) -> tuple[str, int, datetime]:
    found = _BEGINNING.match(payload)
    if found:
        at = datetime.fromisoformat(found[3].decode())
        if at.tzinfo is not None:
            return found[1].decode(), int(found[2]), at
    envelope = decode(_Envelope, payload)
    return envelope.boot, envelope.seq, envelope.at


def conflict(message: IncomingMessage, found: ReportHead, recorded: Collection[tuple[str, datetime]]) -> RefusedMessage:
    """The refusal of a report whose key belongs to another one: its site sends it again under another key."""
    site, boot, seq = found.key
    others = ", ".join(f"{kind} of {at.isoformat()}" for kind, at in sorted(recorded))
    detail = f"recorded under its number: {others}; this: {found.kind} of {found.at.isoformat()}"
    return RefusedMessage(message, CONFLICT, detail, site, (boot, seq))


class LinkNames(NamedTuple):
    """What rows may name: the sites and methods of the meshes that there were."""

    sites: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()

    def with_mesh(self, mesh: Mesh, methods: Collection[str]) -> LinkNames:
        """The same and those of one mesh more; `methods` are allowed whatever it has."""
        of_sites = {site.method for site in mesh.sites.values()}
        return LinkNames(self.sites | mesh.sites.keys(), self.methods | of_sites | set(methods))

    def strange(self, link: tuple[str, str, str]) -> str:
        """What a mesh does not have of a link and its method; empty where it has all."""
        src, dst, method = link
        if src not in self.sites or dst not in self.sites:
            return f"the mesh has no site {dst if src in self.sites else src}"
        return "" if method in self.methods else f"nothing measures by {method}"


def admit(
    message: IncomingMessage, sites: Collection[str] | None, names: LinkNames | None = None
) -> Entry | RefusedMessage:
    """Decode and check one message; `sites` are those of the mesh, None while no mesh is known."""
    topic = topics.parse(message.topic)
    if topic is None or topic.name != "report":
        return RefusedMessage(message, "unknown_topic", "", None, None)
    try:
        _check_sender(topic.site, message.payload, sites)
        report, bad_rows, links = decode_report(topic.site, topic.detail, message.payload)
        strange = {link: what for link in links if (what := names.strange(link))} if names else {}
        if strange and isinstance(report, LinkRows):
            report, bad_rows = _without(report, strange, bad_rows)
    except MessageError as error:
        return RefusedMessage(message, error.reason, error.detail, topic.site, _key(message.payload))
    except Exception as error:  # noqa: BLE001 - a fault of ours costs the message that it arose in
        note("admission", error)
        return RefusedMessage(message, "fault", type(error).__name__, topic.site, _key(message.payload))
    return Entry(topic.site, report, message.received_at, bad_rows)


def _without(
    report: LinkRows, strange: Mapping[tuple[str, str, str], str], bad_rows: tuple[RefusedRow, ...]
) -> tuple[LinkRows, tuple[RefusedRow, ...]]:
    """The report without the rows of `strange` links. Raises MessageError where no others are left."""
    details = [strange.get((row.src, row.dst, row.method)) for row in report.links]
    good = tuple(row for row, detail in zip(report.links, details, strict=True) if detail is None)
    if not good:
        raise MessageError(UNKNOWN_LINK, next(iter(strange.values())))
    refused = [(row, detail) for row, detail in zip(report.links, details, strict=True) if detail is not None]
    rows = [
        RefusedRow(encode(row) if place < SHOWN_ROWS else b"", detail, UNKNOWN_LINK)
        for place, (row, detail) in enumerate(refused)
    ]
    return report.model_copy(update={"links": good}), (*bad_rows, *rows)


def receipts(journal: str, accepted: Iterable[Key], refused: Iterable[RefusedMessage]) -> list[tuple[str, Committed]]:
    """The `committed` messages, one per site and outbox."""
    committed: dict[tuple[str, str], list[int]] = {}
    refusals: dict[tuple[str, str], list[ReportRefusal]] = {}
    for site, boot, seq in accepted:
        committed.setdefault((site, boot), []).append(seq)
    for refusal in refused:
        if refusal.site is not None and refusal.key is not None:
            boot, seq = refusal.key
            refusals.setdefault((refusal.site, boot), []).append(ReportRefusal(seq=seq, reason=refusal.reason))
    return [
        (
            site,
            Committed(
                journal=journal,
                boot=boot,
                seqs=_unique(committed.get((site, boot), ())),
                refused=tuple(refusals.get((site, boot), ())),
            ),
        )
        for site, boot in dict.fromkeys((*committed, *refusals))
    ]


def fitting(committed: Committed, max_bytes: int | None) -> list[Committed]:
    """The same in messages of at most `max_bytes` each, as far as halving gets there; None is no limit."""
    items = len(committed.seqs) + len(committed.refused)
    if max_bytes is None or items < 2 or len(encode(committed)) <= max_bytes:
        return [committed]
    seqs, refused = len(committed.seqs) // 2, (len(committed.refused) + 1) // 2
    halves = (
        {"seqs": committed.seqs[:seqs], "refused": committed.refused[:refused]},
        {"seqs": committed.seqs[seqs:], "refused": committed.refused[refused:]},
    )
    return [part for half in halves for part in fitting(committed.model_copy(update=half), max_bytes)]


def rejected_rows(entries: Iterable[Entry]) -> list[QuarantinedMessage]:
    """The rows that good reports came with and that cannot be."""
    return [
        QuarantinedMessage(
            topics.report(entry.site, entry.report.kind), row.payload, row.reason, row.detail, entry.received_at
        )
        for entry in entries
        for row in entry.refused
    ]


def rejected_message(refusal: RefusedMessage) -> QuarantinedMessage:
    """A message of which nothing is recorded."""
    message = refusal.message
    return QuarantinedMessage(message.topic, message.payload, refusal.reason, refusal.detail, message.received_at)


def _unique(seqs: Sequence[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(seqs))


def _check_sender(site: str, payload: bytes, sites: Collection[str] | None) -> None:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MessageError("oversized", f"{len(payload)} bytes")
    if sites is not None and site not in sites:
        raise MessageError("unknown_site", f"{site} is not in the mesh")


def _key(payload: bytes) -> tuple[str, int] | None:
    if len(payload) > MAX_PAYLOAD_BYTES:
        return None
    try:
        found = decode(_ReportKey, payload)
    except MessageError:
        return None
    return found.boot, found.seq
