"""Which reports enter the record, and why the others do not. Pure logic.

A report enters whole or not at all. Its site must be in the mesh, where one is known; the far ends of its
links need not be: a site speaks for its own links, and what it measured to a peer that has left the mesh since
stays a measurement.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from collector.store.columns import Entry
from linkweather.errors import MessageError
from linkweather.wire import Committed, Count, Message, Name, Refusal, decode, decode_report, topics

MAX_PAYLOAD_BYTES = 4_000_000
# Clocks of sites may be wrong; one that is further ahead would put its rows where no question looks.
MAX_AHEAD = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message as it came, before anyone looked inside."""

    topic: str
    payload: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class RefusedMessage:
    """An arrival that never enters the record; `site` and `key` (boot, seq) as far as they could be read."""

    arrival: IncomingMessage
    reason: str
    detail: str
    site: str | None
    key: tuple[str, int] | None


class _ReportKey(Message):
    boot: Name
    seq: Count


def admit(arrival: IncomingMessage, sites: Collection[str] | None) -> Entry | RefusedMessage:
    """Decode and check one arrival; `sites` are those of the mesh, None while no mesh is known."""
    topic = topics.parse(arrival.topic)
    if topic is None or topic.name != "report":
        return RefusedMessage(arrival, "unknown_topic", "", None, None)
    try:
        _check_sender(topic.site, arrival.payload, sites)
        report = decode_report(topic.site, topic.detail, arrival.payload)
        _check_time(report.at, arrival.received_at)
    except MessageError as error:
        return RefusedMessage(arrival, error.reason, error.detail, topic.site, _key(arrival.payload))
    return Entry(topic.site, report, arrival.received_at)


def receipts(entries: Iterable[Entry], refused: Iterable[RefusedMessage]) -> list[tuple[str, Committed]]:
    """What each site is told, one message per site and outbox."""
    taken: dict[tuple[str, str], list[int]] = {}
    never: dict[tuple[str, str], list[Refusal]] = {}
    for entry in entries:
        taken.setdefault((entry.site, entry.report.boot), []).append(entry.report.seq)
    for refusal in refused:
        if refusal.site is not None and refusal.key is not None:
            boot, seq = refusal.key
            never.setdefault((refusal.site, boot), []).append(Refusal(seq=seq, reason=refusal.reason))
    return [
        (
            site,
            Committed(boot=boot, seqs=_unique(taken.get((site, boot), ())), refused=tuple(never.get((site, boot), ()))),
        )
        for site, boot in dict.fromkeys((*taken, *never))
    ]


def _unique(seqs: Sequence[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(seqs))


def _check_sender(site: str, payload: bytes, sites: Collection[str] | None) -> None:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MessageError("oversized", f"{len(payload)} bytes")
    if sites is not None and site not in sites:
        raise MessageError("unknown_site", f"{site} is not in the mesh")


def _check_time(at: datetime, received_at: datetime) -> None:
    if at > received_at + MAX_AHEAD:
        raise MessageError("future", at.isoformat())
    if at < _EPOCH:
        raise MessageError("impossible", f"at = {at.isoformat()}")


def _key(payload: bytes) -> tuple[str, int] | None:
    if len(payload) > MAX_PAYLOAD_BYTES:
        return None
    try:
        found = decode(_ReportKey, payload)
    except MessageError:
        return None
    return found.boot, found.seq
