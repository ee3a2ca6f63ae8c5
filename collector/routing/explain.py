"""Why a path: one sentence, the same on the command line, in the API and on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from linkweather.models.routes import Objective, PathExpectation
from linkweather.units import age, duration, megabits

# Of each objective: what it is called, the figure of a path, and how that is shown.
_FIGURES: Mapping[Objective, tuple[str, Callable[[PathExpectation], float | None], Callable[[float | None], str]]] = {
    "latency": ("RTT", lambda path: path.rtt_p50_s, duration),
    "goodput": ("goodput", lambda path: path.goodput_p50_bps, lambda value: f"{megabits(value)} Mbit/s"),
    "completion": ("done in", lambda path: path.completion_p50_s, duration),
}

# Gains below this are said in per cent.
SMALL_GAIN_RATIO = 1.1


@dataclass(frozen=True, kw_only=True)
class RouteReason:
    """What a choice was between, and what is to be said beside it.

    `gain_ratio` is by how many times the path is better than direct, `needed` by how many times a relay would have to
    be. `unmeasured` is a direct link in contact of which nobody knows the figure, `direct_is` says why direct was
    out of the question, `because` why the path before was left, `excluded` what the question's own conditions
    ruled out, `alone` is where they allow no relay at all.
    """

    objective: Objective
    path: PathExpectation
    direct: PathExpectation | None
    runner_up: PathExpectation | None
    gain_ratio: float | None
    needed: float
    oldest_s: float | None
    unmeasured: bool = False
    direct_is: str | None = None
    because: str | None = None
    excluded: str | None = None
    alone: bool = False


def route_sentence(reason: RouteReason) -> str:
    """The whole sentence."""
    src, *relays, dst = reason.path.sites
    if reason.unmeasured and not relays:
        return f"{src} → {dst} direct: {reason.direct_is}, so no relay can be said to be better."
    parts = [
        f"{src} → {dst} {_way(reason.path)}: {_named(reason.objective, reason.path)}",
        _against_direct(reason) if relays else f" ({_inputs(reason)}){_against_relays(reason)}",
        _next_best(reason) if relays else "",
        f", {reason.because}" if reason.because else "",
        f"; {reason.excluded}" if reason.excluded else "",
    ]
    return "".join(parts) + "."


def no_route_sentence(src: str, dst: str, because: str, excluded: str | None) -> str:
    """Why there is no path."""
    return f"{src} → {dst}: no path can be used: {because}" + (f"; {excluded}" if excluded else "") + "."


def _against_direct(reason: RouteReason) -> str:
    inputs = _inputs(reason)
    if reason.direct is None or reason.gain_ratio is None:
        return f" ({inputs}); direct is out of the question: {reason.direct_is}"
    return f" instead of {figure(reason.objective, reason.direct)} direct ({_compared(reason.gain_ratio)}, {inputs})"


def _inputs(reason: RouteReason) -> str:
    return "inputs of unknown age" if reason.oldest_s is None else f"inputs {age(reason.oldest_s)} old"


def _compared(gain_ratio: float) -> str:
    if gain_ratio < 1:
        return f"{gain_ratio:.2f} times as good"
    # "1.0 times better" would say nothing.
    return (
        f"{100 * (gain_ratio - 1):.1f} % better" if gain_ratio < SMALL_GAIN_RATIO else f"{gain_ratio:.1f} times better"
    )


def _against_relays(reason: RouteReason) -> str:
    best = reason.runner_up
    if best is None:
        return "; no relay was to be used" if reason.alone else "; no relay can be used"
    would = f"the best, {_way(best)}, would have {figure(reason.objective, best)}"
    return f"; no relay is surely better by the margin of {100 * (reason.needed - 1):.0f} %: {would}"


def _next_best(reason: RouteReason) -> str:
    other = reason.runner_up
    if other is None or len(other.sites) == 2:
        return ""
    return f"; next best {_way(other)}, {figure(reason.objective, other)}"


def figure(objective: Objective, path: PathExpectation) -> str:
    """The path's expectation in the objective, with its unit."""
    _, value, shown = _FIGURES[objective]
    return shown(value(path))


def _named(objective: Objective, path: PathExpectation) -> str:
    return f"{_FIGURES[objective][0]} {figure(objective, path)}"


def _way(path: PathExpectation) -> str:
    return f"through {' and '.join(path.sites[1:-1])}" if len(path.sites) > 2 else "direct"
