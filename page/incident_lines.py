"""What is wrong, in words: the API's own sentences in their language, the same things said in another. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from linkweather.models.incidents import FindingAnswer, IncidentAnswer, IncidentKind
from linkweather.units import age, duration, percent, rate
from page.link_metrics import LINK_FORMS, UNKNOWN, known
from page.mesh_picture import MeshPicture
from page.words import SOURCE, Words, message


class IncidentLine(NamedTuple):
    """An incident as a line: its sentence, what was done, where it leads to, whether it lasts, and why it is quiet."""

    severity: str
    sentence: str
    routes: tuple[str, ...]
    address: str
    lasts: bool
    quiet: str = ""
    id: str = ""


_SAYINGS: Mapping[IncidentKind, str] = {
    "site_unreachable": message("{who} cannot be reached from any other site"),
    "site_silent": message("{who} is silent: its last report is {value} old"),
    "link_down": message("{who} is down"),
    "loss": message("{who} loses {value}"),
    "latency": message("{who} takes {value}"),
    "jitter": message("{who} has a jitter of {value}"),
    "goodput": message("{who} carries {value}"),
    "implausible": message("{who} is suspect: it claims what cannot be"),
    "clock": message("{who} has a clock that is {value} off"),
    "authentication": message("{who} has another key than who probes it: {detail}"),
    "sink": message("the sink {who} writes nothing, or not all: {detail}"),
    "collector": message("{who} fails: {detail}"),
}
KIND_NAMES: Mapping[IncidentKind, str] = {
    "site_unreachable": message("site unreachable"),
    "site_silent": message("site silent"),
    "link_down": message("link down"),
    "loss": message("loss"),
    "latency": message("latency"),
    "jitter": message("jitter"),
    "goodput": message("goodput"),
    "implausible": message("implausible"),
    "clock": message("clock"),
    "authentication": message("authentication"),
    "sink": message("sink"),
    "collector": message("collector"),
}
_FIGURES: Mapping[IncidentKind, Callable[[float | None], str]] = {
    "site_silent": age,
    "loss": lambda value: f"{percent(value)} %",
    "latency": duration,
    "jitter": duration,
    "goodput": rate,
    "clock": lambda value: age(abs(value or 0.0)),
}


_ROUTES = (
    (
        re.compile(r"traffic (?P<src>\S+) → (?P<dst>\S+) goes through (?P<relays>.+)"),
        message("traffic {src} → {dst} goes through {relays}"),
    ),
    (
        re.compile(r"traffic (?P<src>\S+) → (?P<dst>\S+) stays on the direct link"),
        message("traffic {src} → {dst} stays on the direct link"),
    ),
    (re.compile(r"(?P<src>\S+) → (?P<dst>\S+) has no usable path"), message("{src} → {dst} has no usable path")),
)


_NOT_WELL = ("down", "degraded", "expired", "stale")  # the worst first


def headline(view: MeshPicture, words: Words) -> str:
    """How things are now, in a sentence."""
    if view.at is None:
        return words("The collector has not answered yet.")
    lasting = [one for one in incidents(view) if one.until is None]
    if not view.sites:
        return words("The mesh has no sites.")
    if all(site.state == "unknown" for site in view.sites.values()):
        return words("No site has reported yet.")
    if not lasting:
        return _without_incident(view, words)
    since = _without_today(moment(min(one.since for one in lasting)), view.at)
    return words.plural(
        "{n} thing is wrong since {since}.", "{n} things are wrong since {since}.", len(lasting), since=since
    )


def _without_incident(view: MeshPicture, words: Words) -> str:
    """What the states say where no incident does: it may not have opened yet."""
    states = Counter(known(link.state) for link in view.links.values())
    for state in _NOT_WELL:
        if number := states[state]:
            return words.plural(
                "No incident, but {n} link is {state}.",
                "No incident, but {n} links are {state}.",
                number,
                state=words(LINK_FORMS[state].name),
            )
    if number := states[UNKNOWN]:
        measured = len(view.links) - number
        return words("{measured} of {all} links are measured so far, and well.", measured=measured, all=len(view.links))
    return words.plural("All is well: {n} link.", "All is well: {n} links.", len(view.links))


def closed_today(view: MeshPicture) -> int:
    """How many incidents of the last day are over."""
    return sum(one.until is not None for one in incidents(view))


def incidents(view: MeshPicture) -> tuple[IncidentAnswer, ...]:
    """The incidents that are known, without those that another one explains."""
    known = view.incidents.incidents if view.incidents else ()
    return tuple(one for one in known if one.merged_into is None)


def line(incident: IncidentAnswer, words: Words, now: float | None = None) -> IncidentLine:
    """The incident as a line; with `now`, in seconds, its times are without the date where that is today's."""
    said = incident.sentence if words.language == SOURCE else _sentence(incident, words)
    routes = tuple(_route(route, words) for route in incident.routes)
    sentence, quiet = (
        _without_today(text, now) for text in (words("{sentence}.", sentence=said), _quiet(incident, words))
    )
    lasts = incident.until is None
    return IncidentLine(incident.severity, sentence, routes, _address(incident), lasts, quiet, incident.id)


def _quiet(incident: IncidentAnswer, words: Words) -> str:
    """Why people are not told of it now."""
    silence = incident.silence
    if silence is None:
        return ""
    said = (
        message("acknowledged until {until}: {reason}")
        if silence.incident
        else message("silenced until {until}: {reason}")
    )
    return words(said, until=moment(silence.until), reason=silence.reason)


def _route(said: str, words: Words) -> str:
    """What the decisions did, which the API says in English: in words that are known here, else as it is."""
    for form, text in _ROUTES:
        if found := form.fullmatch(said):
            return words(text, **found.groupdict())
    return said


def moment(at: datetime) -> str:
    """A moment, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _without_today(said: str, now: float | None) -> str:
    return said if now is None else said.replace(f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d} ", "")


def _sentence(incident: IncidentAnswer, words: Words) -> str:
    worst = next((one for one in incident.findings if one.kind == incident.kind), None)
    if worst is None:
        return incident.sentence
    figure = _FIGURES.get(worst.kind)
    value = figure(worst.value) if figure else ""
    said = words(_SAYINGS[worst.kind], who=_who(worst), value=value, detail=worst.detail or "")
    if figure and worst.normal is not None:
        said += words(" (normally {normal})", normal=figure(worst.normal))
    others = len(incident.findings) + incident.omitted_findings - 1
    if others:
        said += words.plural("; {n} further finding", "; {n} further findings", others)
    return said + _span(incident, words)


def _who(finding: FindingAnswer) -> str:
    if finding.name is not None:
        return finding.name
    return str(finding.src) if finding.dst is None else f"{finding.src} → {finding.dst}"


def _span(incident: IncidentAnswer, words: Words) -> str:
    if incident.until is None:
        return words(", since {since}", since=moment(incident.since))
    return words(", from {since} to {until}", since=moment(incident.since), until=moment(incident.until))


def _address(incident: IncidentAnswer) -> str:
    links = [one for one in incident.findings if one.src and one.dst]
    if len(incident.subjects) == 2 and links:
        return f"/link/{links[0].src}/{links[0].dst}"
    sites = [one.src for one in incident.findings if one.src]
    return f"/site/{sites[0]}" if sites else ""
