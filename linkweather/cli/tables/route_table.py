"""Routes as tables: the path in force, direct and the runner-up side by side, and all pairs of a mesh."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich import box
from rich.table import Table

from linkweather.models.routes import MeshRoutes, NoRoute, PathExpectation, RouteAnswer
from linkweather.units import MISSING, duration, megabits, milliseconds, price

_Figure = tuple[str, Callable[[PathExpectation], str]]
_RTT: tuple[_Figure, ...] = (
    ("RTT ms", lambda path: milliseconds(path.rtt_p50_s)),
    ("p90", lambda path: milliseconds(path.rtt_p90_s)),
)
_GOODPUT: tuple[_Figure, ...] = (
    ("Mbit/s", lambda path: megabits(path.goodput_p50_bps)),
    ("p90", lambda path: megabits(path.goodput_p90_bps)),
)
_COMPLETION: tuple[_Figure, ...] = (
    ("takes", lambda path: duration(path.completion_p50_s)),
    ("p90", lambda path: duration(path.completion_p90_s)),
)
_PRICE: tuple[_Figure, ...] = (("USD/GB", lambda path: price(path.price_usd_per_gb)),)


def route_table(answer: RouteAnswer) -> Table:
    """One decision: the chosen path, direct and the runner-up, each once."""
    completion = _COMPLETION if answer.path.completion_p50_s is not None else ()
    figures = (*_RTT, *_GOODPUT, *completion, *_PRICE)
    table = _table(("", "path"), [heading for heading, _ in figures])
    seen: set[tuple[str, ...]] = set()
    for role, path in (("take", answer.path), ("direct", answer.direct), ("next", answer.runner_up)):
        if path is not None and path.sites not in seen:
            seen.add(path.sites)
            table.add_row(role, " → ".join(path.sites), *(show(path) for _, show in figures))
    return table


def routes_table(answers: MeshRoutes) -> Table:
    """Every pair's decision, relayed ones first."""
    figures = _GOODPUT if answers.objective == "goodput" else _RTT
    table = _table(("pair", "path"), [*(heading for heading, _ in figures), "direct", "times better"])
    for answer in sorted(answers.routes, key=lambda answer: (not answer.relays, answer.src, answer.dst)):
        direct = MISSING if answer.direct is None else figures[0][1](answer.direct)
        better = MISSING if answer.gain_ratio is None or not answer.relays else f"{answer.gain_ratio:.2f}"
        how = f"through {', '.join(answer.relays)}" if answer.relays else "direct"
        pair = f"{answer.src} → {answer.dst}"
        table.add_row(pair, how, *(show(answer.path) for _, show in figures), direct, better)
    for none in _sorted(answers.no_routes):
        table.add_row(f"{none.src} → {none.dst}", "none", *[MISSING] * (len(figures) + 2))
    return table


def _sorted(pairs: Iterable[NoRoute]) -> list[NoRoute]:
    return sorted(pairs, key=lambda pair: (pair.src, pair.dst))


def _table(texts: Iterable[str], figures: Iterable[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in texts:
        table.add_column(heading, no_wrap=True)
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
