"""An incident in words: one sentence, the same in the log, on the command line, in the API and on the page. Pure.

What is said of a figure that is wrong, after the name of its link or site, the states of links say in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from collector.incidents.causes import Cause
from collector.incidents.conditions import Evidence, Subject
from collector.incidents.incident_book import HeldCondition, Incident
from linkweather.models.incidents import FindingAnswer, IncidentAnswer, IncidentKind
from linkweather.units import age, count, duration, percent, rate

MOST_FINDINGS = 50
_MOST_ROUTES = 3


def sentence(incident: Incident) -> str:
    """What is wrong, how much against what is normal, and since when; or from when to when it was."""
    worst = _worst(incident)
    others = len(incident.conditions) - 1
    cause = incident.cause
    of = "the same cause" if not cause.likely else f"the same likely cause, which their paths share: {cause}"
    more = f"; {count(others, 'further finding')} with {of}" if others else ""
    return f"{_name(worst.subject)} {clause(worst.subject.kind, worst.evidence)}{more} ({_span(incident)})"


def answer(incident: Incident, routes: Sequence[str] = ()) -> IncidentAnswer:
    """The incident as the API answers, the worst findings first."""
    ordered = sorted(incident.conditions.values(), key=lambda one: (one.subject not in incident.now, one.since))
    return IncidentAnswer(
        id=incident.id,
        kind=incident.kind,
        severity=incident.severity,
        cause=str(incident.cause),
        subjects=incident.cause.names,
        since=_time(incident.since),
        until=None if incident.until is None else _time(incident.until),
        sentence=sentence(incident),
        findings=tuple(_finding(incident, condition) for condition in ordered[:MOST_FINDINGS]),
        omitted_findings=max(0, len(ordered) - MOST_FINDINGS),
        routes=tuple(routes[:_MOST_ROUTES]),
        merged_into=incident.merged_into,
    )


def restored(recorded: IncidentAnswer, now: float) -> Incident:
    """A recorded incident that lasts, as the book keeps it; what it found is looked at again from `now` on."""
    conditions = {
        Subject(one.kind, one.src, one.dst, one.name): HeldCondition(
            subject=Subject(one.kind, one.src, one.dst, one.name),
            evidence=Evidence(one.value, one.normal, one.detail, one.limit),
            since=one.since.timestamp(),
            seen_at=now if one.until is None else one.until.timestamp(),
            open=one.until is None,
        )
        for one in recorded.findings
    }
    lasting = frozenset(subject for subject, condition in conditions.items() if condition.open)
    cause = Cause.of(recorded.kind, recorded.subjects, recorded.cause)
    return Incident(recorded.id, cause, recorded.since.timestamp(), None, conditions, lasting)


def summary(lasting: Sequence[Incident], links: int) -> str:
    """How things are now, in one sentence."""
    if not lasting:
        return f"all is well: {count(links, 'link')}"
    is_, since = "thing is" if len(lasting) == 1 else "things are", _time(min(one.since for one in lasting))
    return f"{len(lasting)} {is_} wrong since {since:%Y-%m-%d %H:%M:%S} UTC"


def _finding(incident: Incident, condition: HeldCondition) -> FindingAnswer:
    subject, lasts = condition.subject, condition.subject in incident.now
    return FindingAnswer(
        kind=subject.kind,
        src=subject.src,
        dst=subject.dst,
        name=subject.name,
        since=_time(condition.since),
        until=None if lasts else _time(condition.seen_at),
        value=condition.evidence.value,
        normal=condition.evidence.normal,
        detail=condition.evidence.detail,
        limit=condition.evidence.limit,
    )


def _worst(incident: Incident) -> HeldCondition:
    """The condition that the sentence is about: one of the incident's kind that lasts, the oldest of these."""
    ordered = sorted(incident.conditions.values(), key=lambda one: (one.subject not in incident.now, one.since))
    return next(one for one in ordered if one.subject.kind == incident.kind)


def _name(subject: Subject) -> str:
    if subject.name is not None:
        return f"{'the sink ' if subject.kind == 'sink' else ''}{subject.name}"
    return str(subject.src) if subject.dst is None else f"{subject.src} → {subject.dst}"


def _span(incident: Incident) -> str:
    since = _time(incident.since)
    if incident.until is None:
        return f"since {since:%Y-%m-%d %H:%M:%S} UTC"
    until, lasted = _time(incident.until), duration(incident.until - incident.since)
    return f"{since:%Y-%m-%d %H:%M:%S} to {until:%H:%M:%S} UTC, {lasted}"


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def clause(kind: IncidentKind, figure: Evidence) -> str:
    """What is wrong and how much against what is normal, in the present tense."""
    return _CLAUSES[kind](figure)


def _percent(ratio: float | None) -> str:
    return f"{percent(ratio)} %"


def _usual(figure: Evidence, shown: Callable[[float | None], str]) -> str:
    parts = [f"normally {shown(figure.normal)}"] if figure.normal is not None else []
    parts += [f"limit {shown(figure.limit)}"] if figure.limit is not None else []
    return f" ({', '.join(parts)})" if parts else ""


def _clock(figure: Evidence) -> str:
    offset_s = figure.value or 0.0
    return f"has a clock that is {age(abs(offset_s))} {'ahead' if offset_s > 0 else 'behind'}"


def _silent(figure: Evidence) -> str:
    return f"is offline: {figure.detail}" if figure.detail else f"is silent: its last report is {age(figure.value)} old"


_CLAUSES: Mapping[IncidentKind, Callable[[Evidence], str]] = {
    "site_unreachable": lambda _figure: "cannot be reached from any other site",
    "site_silent": _silent,
    "link_down": lambda _figure: "is down",
    "loss": lambda figure: f"loses {_percent(figure.value)}{_usual(figure, _percent)}",
    "latency": lambda figure: f"takes {duration(figure.value)}{_usual(figure, duration)}",
    "jitter": lambda figure: f"has a jitter of {duration(figure.value)}{_usual(figure, duration)}",
    "goodput": lambda figure: f"carries {rate(figure.value)}{_usual(figure, rate)}",
    "implausible": lambda figure: (
        f"is suspect: {figure.detail}; it relays nothing, and no job is placed at it, until this is acknowledged"
    ),
    "clock": _clock,
    "authentication": lambda figure: f"has another key than who probes it: {figure.detail}",
    "sink": lambda figure: f"writes nothing, or not all: {figure.detail}",
    "collector": lambda figure: f"fails: {figure.detail}" if figure.value is None else str(figure.detail),
}
