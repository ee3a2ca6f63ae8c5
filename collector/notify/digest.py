"""Which notes go to a target, and when: gathered into one message, never one a note. Pure.

A note is an incident as it is now. Of one incident a target has one note waiting, the newest: an incident that began
and ended while it waited is told once, as over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collector.named_tables import NotifyTable
from linkweather.models.incidents import IncidentAnswer
from linkweather.units import count

_SERVICE = "linkweather"


@dataclass(frozen=True, slots=True)
class Notification:
    """What a target gets: a subject, the body for people, and the incidents themselves."""

    subject: str
    body: str
    incidents: tuple[IncidentAnswer, ...]


def wanted(table: NotifyTable, incident: IncidentAnswer) -> bool:
    """Whether the target is to be told of it."""
    concerned = {site for one in incident.findings for site in (one.src, one.dst)}.union(incident.subjects)
    severe = table.severity == "warning" or incident.severity == "critical"
    return severe and (not table.sites or not concerned.isdisjoint(table.sites))


@dataclass(frozen=True, slots=True)
class WaitingNote:
    """A note that waits, and since when."""

    since: float
    incident: IncidentAnswer


class Digest:
    """The notes that wait for one target: `add` them, take the `due` ones, `sent` them; at most `limit` incidents.

    Beyond that the oldest is let go of, and counted in `dropped`.
    """

    def __init__(self, table: NotifyTable, limit: int) -> None:
        self._table = table
        self._limit = limit
        self._waiting: dict[str, WaitingNote] = {}
        self._not_before = 0.0
        self.dropped = 0

    @property
    def waiting(self) -> Mapping[str, WaitingNote]:
        """Incident → its note."""
        return self._waiting

    def add(self, incident: IncidentAnswer, now: float) -> bool:
        """Have the target told; false where it is not to be told of this one."""
        if not wanted(self._table, incident):
            return False
        before = self._waiting.pop(incident.id, None)
        self._waiting[incident.id] = WaitingNote(before.since if before else now, incident)
        while len(self._waiting) > self._limit:
            del self._waiting[next(iter(self._waiting))]
            self.dropped += 1
        return True

    def due(self, now: float) -> list[IncidentAnswer]:
        """What is to be sent at `now`: all that waits, once the first has waited long enough; else nothing."""
        if not self._waiting or now < self._not_before:
            return []
        if now - min(one.since for one in self._waiting.values()) < self._table.gather_s:
            return []
        return [one.incident for one in self._waiting.values()]

    def sent(self, incidents: Sequence[IncidentAnswer], now: float) -> None:
        """These are delivered; a newer note of one of them still waits."""
        self._not_before = now + self._table.pause_s
        for incident in incidents:
            waiting = self._waiting.get(incident.id)
            if waiting is not None and waiting.incident == incident:
                del self._waiting[incident.id]

    def failed(self, now: float, wait_s: float) -> None:
        """They could not be delivered: not again before `wait_s`."""
        self._not_before = now + wait_s


def message(incidents: Sequence[IncidentAnswer]) -> Notification:
    """One message of these incidents: what is wrong first, then what is over. Merged ones are part of another."""
    told = [one for one in incidents if one.merged_into is None]
    lasting = [one for one in told if one.until is None]
    over = [one for one in told if one.until is not None]
    lines = [_line(one) for one in [*lasting, *over]]
    return Notification(_subject(lasting, over), "\n".join(lines), tuple(incidents))


def _subject(lasting: Sequence[IncidentAnswer], over: Sequence[IncidentAnswer]) -> str:
    if len(lasting) + len(over) == 1:
        (one,) = [*lasting, *over]
        return f"{_SERVICE}: {'over: ' if one.until else ''}{one.sentence}"
    parts = [f"{count(len(lasting), 'incident')}"] if lasting else []
    return f"{_SERVICE}: {', '.join([*parts, *([f'{len(over)} over'] if over else [])]) or 'nothing new'}"


def _line(one: IncidentAnswer) -> str:
    head = "over" if one.until is not None else one.severity
    return f"{head}: {'; '.join([one.sentence, *one.routes])}"
