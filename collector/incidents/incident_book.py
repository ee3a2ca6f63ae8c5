"""The book of incidents: held conditions are entered under what explains them, from an incident's start to its end.

Pure. A condition stays in its incident as long as both last, unless a wider cause comes to explain it: then it moves
there, and an incident that is left without conditions is merged into the one they moved to. Otherwise an incident ends
when its last condition does, and keeps what was found for those who ask later.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from collector.incidents.causes import Cause, causes
from collector.incidents.conditions import Conditions, Evidence, Subject
from collector.incidents.traced_paths import TracedPaths
from collector.settings import IncidentSettings
from linkweather.models.incidents import IncidentKind, Severity


@dataclass(frozen=True, slots=True)
class HeldCondition:
    """A condition with its history: when it began, when it was last seen, and the worst figure until then."""

    subject: Subject
    evidence: Evidence
    since: float
    seen_at: float
    open: bool = False


class HeldConditions:
    """What is wrong, without flapping: `look` at what is found now; `held` is what counts.

    A condition counts once it has lasted, and until it has been over for a while.
    """

    def __init__(self, settings: IncidentSettings) -> None:
        self._settings = settings
        self._known: dict[Subject, HeldCondition] = {}

    @property
    def held(self) -> list[HeldCondition]:
        """The conditions that count now."""
        return [condition for condition in self._known.values() if condition.open]

    def restore(self, conditions: Iterable[HeldCondition]) -> None:
        """Take over what counted before a restart."""
        self._known.update({condition.subject: condition for condition in conditions})

    def look(self, found: Conditions, now: float) -> None:
        """Take in what is found at `now`; what was found before and is not now ends, an open one after its hold."""
        for subject, figure in found.items():
            before = self._known.get(subject)
            since = now if before is None else before.since
            worst = figure if before is None else worse(subject.kind, before.evidence, figure)
            opened = (before is not None and before.open) or now - since >= self._settings.hold_s(subject.kind)
            self._known[subject] = HeldCondition(subject, worst, since, now, opened)
        for subject in [subject for subject in self._known if subject not in found]:
            condition = self._known[subject]
            if not condition.open or now - condition.seen_at >= self._settings.close_after_s:
                del self._known[subject]


def worse(kind: IncidentKind, one: Evidence, other: Evidence) -> Evidence:
    """The worse of two figures of one kind, with what was normal at first and the newest detail."""
    if one.value is None or other.value is None:
        return replace(other, value=other.value if one.value is None else one.value)
    pick = min if kind == "goodput" else max
    return replace(one, value=pick(one.value, other.value, key=abs), detail=other.detail)


# The worst kinds first; an incident has the kind of its worst condition.
SEVERITIES: Mapping[IncidentKind, Severity] = {
    "site_unreachable": "critical",
    "site_silent": "critical",
    "link_down": "critical",
    "loss": "warning",
    "latency": "warning",
    "jitter": "warning",
    "goodput": "warning",
    "implausible": "warning",
    "clock": "warning",
    "authentication": "warning",
    "sink": "warning",
    "collector": "critical",
}
_RANK = {kind: rank for rank, kind in enumerate(SEVERITIES)}


@dataclass(frozen=True, slots=True)
class Incident:
    """Conditions with one cause; `until` is None as long as it lasts, `now` are those of its conditions that last."""

    id: str
    cause: Cause
    since: float
    until: float | None = None
    conditions: Mapping[Subject, HeldCondition] = field(default_factory=dict)
    now: frozenset[Subject] = frozenset()
    merged_into: str | None = None

    @property
    def kind(self) -> IncidentKind:
        """The kind of its worst condition."""
        return min((subject.kind for subject in self.conditions), key=_RANK.__getitem__)

    @property
    def home(self) -> str | None:
        """The site whose collector speaks of it, in a cluster; None where it is no site's."""
        if not self.cause.likely:
            return self.cause.names[0] if any(subject.src for subject in self.conditions) else None
        return min((subject.src for subject in self.conditions if subject.src is not None), default=None)

    @property
    def severity(self) -> Severity:
        """How bad that is."""
        return SEVERITIES[self.kind]


class IncidentBook:
    """The incidents that last. `look` at what is wrong now, and it returns those that began, changed or ended."""

    def __init__(
        self, settings: IncidentSettings, new_id: Callable[[float], str], paths: TracedPaths | None = None
    ) -> None:
        self._paths = paths
        self._held = HeldConditions(settings)
        self._new_id = new_id
        self._open: dict[Cause, Incident] = {}

    @property
    def open(self) -> list[Incident]:
        """The incidents that last, the oldest first."""
        return sorted(self._open.values(), key=lambda incident: (incident.since, incident.id))

    def of_others(self) -> Conditions:
        """What lasts of sites and links: what the collector goes on with while it hears nothing."""
        held = (incident.conditions[subject] for incident in self._open.values() for subject in incident.now)
        return {one.subject: one.evidence for one in held if one.subject.src is not None}

    def restore(self, incidents: Iterable[Incident]) -> None:
        """Take over the incidents that lasted when the collector ended."""
        for incident in incidents:
            self._open[incident.cause] = incident
            self._held.restore(incident.conditions[subject] for subject in incident.now)

    def look(self, found: Conditions, peers: int, now: float) -> list[Incident]:
        """Enter what is wrong at `now`; `peers` is how many others a site has."""
        self._held.look(found, now)
        held = {condition.subject: condition for condition in self._held.held}
        placed = self._placed(held, causes(held, peers, self._paths))
        changed = [self._entered(cause, subjects, held, now) for cause, subjects in placed.items()]
        ended = [self._ended(incident, placed, now) for cause, incident in self._open.items() if cause not in placed]
        for incident in ended:
            del self._open[incident.cause]
        return [incident for incident in changed if incident is not None] + ended

    def _placed(
        self, held: Mapping[Subject, HeldCondition], explained: Mapping[Subject, Cause]
    ) -> Mapping[Cause, list[Subject]]:
        """The subjects under their causes: where they were, unless a wider cause explains them now."""
        before = {subject: cause for cause, incident in self._open.items() for subject in incident.now}
        placed: dict[Cause, list[Subject]] = {}
        for subject in held:
            cause = explained[subject]
            if subject in before and before[subject].width >= cause.width:
                cause = before[subject]
            placed.setdefault(cause, []).append(subject)
        return placed

    def _entered(
        self, cause: Cause, subjects: list[Subject], held: Mapping[Subject, HeldCondition], now: float
    ) -> Incident | None:
        """The incident of a cause with these subjects; None where nothing about it changed that is worth a word."""
        before = self._open.get(cause)
        known = before.conditions if before else {}
        conditions = {**known, **{subject: held[subject] for subject in subjects}}
        since = min(condition.since for condition in conditions.values())
        incident = Incident(
            before.id if before else self._new_id(now), cause, since, None, conditions, frozenset(subjects)
        )
        self._open[cause] = incident
        return None if before and before.now == incident.now and not _worse(before, incident) else incident

    def _ended(self, incident: Incident, placed: Mapping[Cause, list[Subject]], now: float) -> Incident:
        into = next((cause for cause, subjects in placed.items() if incident.now.intersection(subjects)), None)
        merged = self._open[into].id if into is not None else None
        seen_at = max((one.seen_at for one in incident.conditions.values()), default=now)
        return replace(incident, until=now if merged else seen_at, now=frozenset(), merged_into=merged)


def _worse(before: Incident, after: Incident) -> bool:
    """Whether a figure became so much worse that it is worth a word: by half."""
    for subject in after.now:
        old, new = before.conditions[subject].evidence.value, after.conditions[subject].evidence.value
        if old and new and abs(math.log(abs(new) / abs(old))) > math.log(1.5):
            return True
    return False
