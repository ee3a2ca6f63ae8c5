"""From one site to all others: which path stands, what it gains over direct, since when. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from linkweather.models.routes import NoRouteReason, PathExpectation, RouteAnswer, RouteSummary, SwitchReason
from linkweather.models.scores import EvaluationAnswer
from linkweather.units import MISSING, duration, percent, price, rate
from page.mesh_picture import MeshPicture
from page.words import SOURCE, Words, message

OBJECTIVES: Mapping[str, str] = {
    "latency": message("latency"),
    "goodput": message("goodput"),
    "completion": message("transfer time"),
}
SWITCHES: Mapping[SwitchReason, str] = {
    "first": message("the first one"),
    "better": message("better"),
    "failed": message("the one before failed"),
    "stale": message("the one before went stale"),
    "returned": message("it is back"),
}
NO_ROUTES: Mapping[NoRouteReason, str] = {
    "undecided": message("not decided yet"),
    "down": message("the direct link is down"),
    "no_contact": message("no contact"),
    "unknown_goodput": message("the goodput is unknown"),
    "conditions": message("no path meets the conditions"),
}


class RouteRow(NamedTuple):
    """A destination: the path to it, direct's figure, the path's, how many times better, and why and since when."""

    dst: str
    path: str
    relayed: bool
    direct: str
    chosen: str
    gain: str
    why: str


def route_rows(view: MeshPicture, objective: str, src: str, words: Words) -> list[RouteRow]:
    """The routes from `src`, the relayed ones first."""
    routes = view.routes.get(objective)
    if routes is None:
        return []
    found = [_row(one, objective, words) for one in routes.routes if one.src == src]
    lost = [
        RouteRow(
            one.dst, MISSING, relayed=False, direct=MISSING, chosen=MISSING, gain="", why=words(NO_ROUTES[one.reason])
        )
        for one in routes.no_routes
        if one.src == src
    ]
    return [*sorted(found, key=lambda row: (not row.relayed, row.dst)), *sorted(lost)]


def _row(route: RouteSummary, objective: str, words: Words) -> RouteRow:
    show = FIGURES[objective]
    why = words(SWITCHES[route.switch_reason]) if route.switch_reason and route.relays else ""
    if why and route.since is not None:
        why = f"{why}, {route.since:%m-%d %H:%M:%S}"
    return RouteRow(
        dst=route.dst,
        path=words("through {relays}", relays=", ".join(route.relays)) if route.relays else words("direct"),
        relayed=bool(route.relays),
        direct=MISSING if route.direct is None else show(route.direct),
        chosen=show(route.path),
        gain="" if route.gain_ratio is None or not route.relays else f"{route.gain_ratio:.2f} ×",
        why=why,
    )


FIGURES: Mapping[str, Callable[[PathExpectation], str]] = {
    "latency": lambda path: duration(path.rtt_p50_s),
    "goodput": lambda path: rate(path.goodput_p50_bps),
    "completion": lambda path: duration(path.completion_p50_s),
}


class AnsweredPath(NamedTuple):
    """A path of an answer: what it is in it, its sites, and its figures."""

    role: str
    path: str
    rtt: str
    goodput: str
    completion: str
    price: str


def path_rows(answer: RouteAnswer, words: Words) -> list[AnsweredPath]:
    """The chosen path, direct and the runner-up, each once."""
    roles = (
        (message("take"), answer.path),
        (message("direct"), answer.direct),
        (message("next best"), answer.runner_up),
    )
    rows: dict[tuple[str, ...], AnsweredPath] = {}
    for role, path in roles:
        if path is not None and path.sites not in rows:
            figures = (duration(path.rtt_p50_s), rate(path.goodput_p50_bps), duration(path.completion_p50_s))
            rows[path.sites] = AnsweredPath(words(role), " → ".join(path.sites), *figures, price(path.price_usd_per_gb))
    return [*rows.values()]


def route_sentence(answer: RouteAnswer, words: Words) -> str:
    """Why this route: the API's own sentence in its language, what it says in another."""
    if words.language == SOURCE:
        return answer.why
    show = FIGURES[answer.objective]
    figure, ends = show(answer.path), {"src": answer.src, "dst": answer.dst}
    if not answer.relays:
        return words("{src} → {dst}: direct, {figure}.", **ends, figure=figure)
    direct, relays = MISSING if answer.direct is None else show(answer.direct), ", ".join(answer.relays)
    return words(
        "{src} → {dst} through {relays}: {figure} instead of {direct} direct.",
        **ends,
        relays=relays,
        figure=figure,
        direct=direct,
    )


class ScoreRow(NamedTuple):
    """How the decisions for one objective did: how many, the gain over direct, regret, and relays that did worse."""

    objective: str
    evaluated: str
    gain: str
    regret: str
    relayed: str
    worse: str


def score_rows(answer: EvaluationAnswer | None, words: Words) -> list[ScoreRow]:
    """The judge's score by objective, of those whose decisions were measured afterwards."""
    return [
        ScoreRow(
            objective=words(OBJECTIVES[one.objective]),
            evaluated=str(one.evaluated),
            gain=MISSING if one.gain_ratio is None else f"{one.gain_ratio:.2f} ×",
            regret=share(one.regret_mean_ratio),
            relayed=str(one.relayed),
            worse=share(one.relayed_worse_ratio),
        )
        for one in (answer.evaluations if answer else ())
        if one.evaluated
    ]


def share(ratio: float | None) -> str:
    """A share in %."""
    return MISSING if ratio is None else f"{percent(ratio)} %"
