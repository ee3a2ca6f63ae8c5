"""A picture of a small mesh for the tests of the page's logic: three sites, each figure worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from gettext import NullTranslations
from typing import Any

from linkweather.models.incidents import FindingAnswer, IncidentAnswer, IncidentsAnswer
from linkweather.models.link_history import (
    LinkHistoryAnswer,
    LinkHistoryStep,
    LinkMarksAnswer,
    LinkSla,
    LinkTestMark,
    PathHop,
    SlaAnswer,
    SlaFigures,
    TakenPath,
)
from linkweather.models.routes import MeshRoutes, PathExpectation, RouteSummary
from linkweather.models.state import LinkAnswer, SiteAnswer
from page.mesh_picture import MeshPicture
from page.words import Words

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ENGLISH = Words()


class _Marked(NullTranslations):
    """Translates every message by brackets around it."""

    def gettext(self, message: str) -> str:
        return f"[{message}]"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"[{msgid1 if n == 1 else msgid2}]"


MARKED = Words("xx", _Marked())


def link(src: str, dst: str, state: str = "fresh", **figures: Any) -> LinkAnswer:
    return LinkAnswer.model_validate({"src": src, "dst": dst, "state": state, **figures})


def site(name: str, **more: Any) -> SiteAnswer:
    return SiteAnswer.model_validate({"site": name, "state": "online", "address": "192.0.2.1", **more})


def picture() -> MeshPicture:
    """Sites a and b in the north, c in the south without an operator; c → a is down, a → c was never measured."""
    sites = [
        site("a", region="north", operator="one", latitude=0.0, longitude=0.0),
        site("b", region="north", operator="two", latitude=0.0, longitude=1.0),
        site("c", region="south"),
    ]
    links = [
        link("a", "b", rtt_p50_s=0.001, loss_ratio=0.0, goodput_bps=1e9, age_s=1.0),
        link("b", "a", rtt_p50_s=0.002, loss_ratio=0.03, goodput_bps=1e8, age_s=2.0),
        link("a", "c", "unknown"),
        link("c", "a", "down", rtt_p50_s=0.1, loss_ratio=1.0, goodput_bps=1e7, age_s=100.0),
        link("b", "c", "stale", rtt_p50_s=0.01, loss_ratio=0.2, age_s=10.0),
    ]
    at = NOON.timestamp()
    return MeshPicture().with_links(links, at).with_sites(sites, at).with_name("three")


def incident(kind: str = "loss", **more: Any) -> IncidentAnswer:
    found = {"kind": kind, "src": "a", "dst": "b", "since": NOON, "value": 0.12, "normal": 0.0}
    values = {
        "id": "1",
        "kind": kind,
        "severity": "warning",
        "cause": "the pair a – b",
        "subjects": ("a", "b"),
        "since": NOON,
        "sentence": "a → b loses 12.0 %",
        "findings": (FindingAnswer.model_validate(found),),
    }
    return IncidentAnswer.model_validate({**values, **more})


def wrong(*found: IncidentAnswer) -> MeshPicture:
    """The picture with these incidents."""
    return picture().with_incidents(IncidentsAnswer(at=NOON, sentence="", incidents=found))


def week(*medians: tuple[str, str, float | None]) -> SlaAnswer:
    """What these links had as their median RTT over a week."""
    links = tuple(LinkSla(src=src, dst=dst, rtt_p50_s=rtt_s) for src, dst, rtt_s in medians)
    return SlaAnswer(since=NOON - timedelta(days=8), until=NOON, resolution="hours", together=SlaFigures(), links=links)


def routes(*through: str, objective: str = "latency", **figures: float) -> MeshRoutes:
    """The active routes: a → b through these."""
    path = PathExpectation(sites=("a", *through, "b"), **(figures or {"rtt_p50_s": 0.004}))
    route = RouteSummary(src="a", dst="b", path=path)
    return MeshRoutes.model_validate({"at": NOON, "objective": objective, "routes": (route,)})


def history(*steps: LinkHistoryStep, src: str = "a", dst: str = "b", minutes: int = 10) -> LinkHistoryAnswer:
    """Ten minutes from noon by steps of a minute."""
    until = NOON + timedelta(minutes=minutes)
    return LinkHistoryAnswer(src=src, dst=dst, since=NOON, until=until, step_s=60, resolution="minutes", steps=steps)


def marks(*paths: tuple[int, str], tests: Sequence[LinkTestMark] = (), minutes: int = 10) -> LinkMarksAnswer:
    """Paths from a minute on, each by its hops such as "r1 - r2" (- is silent), in the span of the history."""
    taken = [
        TakenPath(
            at=NOON + timedelta(minutes=minute),
            fingerprint=hops,
            hops=tuple(
                PathHop(ttl=ttl, address=None if name == "-" else name, rtt_s=0.001)
                for ttl, name in enumerate(hops.split(), 1)
            ),
        )
        for minute, hops in paths
    ]
    until = NOON + timedelta(minutes=minutes)
    return LinkMarksAnswer(src="a", dst="b", since=NOON, until=until, paths=tuple(taken), tests=tuple(tests))


def step(minute: int, rtt_s: float | None = 0.01, **more: Any) -> LinkHistoryStep:
    """A minute with one report, whose RTTs lie around the median; without one, nothing came back."""
    figures: dict[str, Any] = {"reports": 1, "available_ratio": 0.0, "loss_ratio": 1.0}
    if rtt_s is not None:
        shape = {"min": 0.9, "p05": 0.95, "p25": 0.98, "p50": 1.0, "p75": 1.05, "p95": 1.1, "max": 1.2}
        around = {f"rtt_{name}_s": factor * rtt_s for name, factor in shape.items()}
        figures |= {"available_ratio": 1.0, "loss_ratio": 0.0, **around}
    return LinkHistoryStep.model_validate({"at": NOON + timedelta(minutes=minute), **figures, **more})
