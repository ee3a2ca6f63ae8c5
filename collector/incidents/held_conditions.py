"""Hold-on and hold-off: a condition counts once it has lasted, and until it has been over for a while. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from collector.incidents.conditions import Conditions, Evidence, Subject
from collector.settings import IncidentSettings
from linkweather.models.incidents import IncidentKind


@dataclass(frozen=True, slots=True)
class HeldCondition:
    """A condition with its history: when it began, when it was last seen, and the worst figure until then."""

    subject: Subject
    evidence: Evidence
    since: float
    seen_at: float
    open: bool = False


class HeldConditions:
    """What is wrong, without flapping: `look` at what is found now; `held` is what counts."""

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
