"""Links, routes, placements and scores as tables for people in a terminal: – for never measured, at most 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from rich import box
from rich.table import Table
from rich.text import Text

from linkweather.cli.terminal import WIDTH
from linkweather.models.placements import PlacementAnswer, PlacementsAnswer
from linkweather.models.routes import MeshRoutes, PathExpectation, RouteAnswer
from linkweather.models.scores import EvaluationAnswer, PlacementEvaluation, RelayScore, RouteEvaluation, SiteScore
from linkweather.models.state import CapacityAnswer, LinkAnswer
from linkweather.units import MISSING, age, count, duration, megabits, milliseconds, percent, price

PAGE_S: Final = 4.0  # how long a live display shows one page
_MARGINS = _GAP = 2  # of a table, and between its columns
_WIDE = 100  # columns from which on there is room for why a test takes place
STATE_STYLES: Mapping[str, str] = {
    "fresh": "green",
    "degraded": "bold yellow",
    "stale": "yellow",
    "expired": "dim",
    "down": "bold red",
    "unknown": "dim",
}


def links_table(
    links: Iterable[LinkAnswer], width: int = WIDTH, order: Callable[[LinkAnswer], Any] | None = None
) -> Table:
    """Links by source and destination, or in another order, in `width` columns: long site ids are cut, figures never.

    RTT (median), its p95 and the jitter (p95 minus median) are in ms; `down 12s` is down since 12 s. `test` is when the
    throughput is tested next, or `budget` where it waits for one; wide tables also say why, or what else it waits for,
    and how old the goodput is.
    """
    columns = {"state": _state, **_LINK_FIGURES, **(_WIDE_FIGURES if width >= _WIDE else _BUDGETS)}
    ordered = sorted(links, key=order or (lambda link: (link.src, link.dst)))
    rows = [[show(link) for show in columns.values()] for link in ordered]
    widths = (max(map(len, column)) for column in zip([*columns], *rows, strict=True))
    room = width - _MARGINS - sum(_GAP + each for each in widths)
    table = plain_table(("link", "state"), [heading for heading in columns if heading != "state"])
    for link, cells in zip(ordered, rows, strict=True):
        table.add_row(_name(link, room), *cells)
    return table


def _state(link: LinkAnswer) -> Text:
    """The state; of a link that is down also since when, where that is known."""
    known = link.state == "down" and link.outage_s is not None
    since = f" {age(link.outage_s).replace(' ', '')}" if known else ""
    return Text(f"{link.state}{since}", style=STATE_STYLES[link.state])


def _name(link: LinkAnswer, room: int) -> str:
    whole = f"{link.src} → {link.dst}"
    if len(whole) <= room:
        return whole
    each = max(2, (room - len(" → ")) // 2)
    return f"{_cut(link.src, each)} → {_cut(link.dst, each)}"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _next_test(link: LinkAnswer) -> str:
    if link.next_test_in_s is None:
        return _NO_TESTS.get(link.next_test_waits_for or "", MISSING)
    return age(link.next_test_in_s)


def test_reason(link: LinkAnswer) -> str | None:
    """Why a link is tested next: of a scheduled test in how many rounds the link is worth one."""
    rounds = link.next_test_rounds if link.next_test_reason == "scheduled" else None
    return link.next_test_reason if rounds is None else f"every {rounds:.2g} rounds"


def _goodput_age(link: LinkAnswer) -> Iterable[str]:
    return () if link.goodput_age_s is None else (f"{age(link.goodput_age_s)} ago",)


_NO_TESTS: Mapping[str, str] = {"disabled": "off", "offline": "offline"}
_LINK_FIGURES: Mapping[str, Callable[[LinkAnswer], str | Text]] = {
    "RTT ms": lambda link: milliseconds(link.rtt_p50_s),
    "p95": lambda link: milliseconds(link.rtt_p95_s),
    "jitter": lambda link: milliseconds(link.jitter_s),
    "loss %": lambda link: percent(link.loss_ratio),
    "Mbit/s": lambda link: megabits(link.goodput_bps),
    "age": lambda link: age(link.age_s),
    "test": _next_test,
}
_WIDE_FIGURES: Mapping[str, Callable[[LinkAnswer], str | Text]] = {
    "Mbit/s": lambda link: ", ".join((megabits(link.goodput_bps), *_goodput_age(link))),
    "why": lambda link: ", ".join(filter(None, (test_reason(link), link.next_test_waits_for))) or MISSING,
}


_BUDGETS: Mapping[str, Callable[[LinkAnswer], str | Text]] = {
    "test": lambda link: "budget" if link.next_test_waits_for == "budget" else _next_test(link)
}


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
    table = plain_table(("", "path"), [heading for heading, _ in figures])
    seen: set[tuple[str, ...]] = set()
    for role, path in (("take", answer.path), ("direct", answer.direct), ("next", answer.runner_up)):
        if path is not None and path.sites not in seen:
            seen.add(path.sites)
            table.add_row(role, " → ".join(path.sites), *(show(path) for _, show in figures))
    return table


def routes_table(answers: MeshRoutes) -> Table:
    """Every pair's decision, relayed ones first."""
    figures = _GOODPUT if answers.objective == "goodput" else _RTT
    table = plain_table(("pair", "path"), [*(heading for heading, _ in figures), "direct", "times better"])
    for answer in sorted(answers.routes, key=lambda answer: (not answer.relays, answer.src, answer.dst)):
        direct = MISSING if answer.direct is None else figures[0][1](answer.direct)
        better = MISSING if answer.gain_ratio is None or not answer.relays else f"{answer.gain_ratio:.2f}"
        how = f"through {', '.join(answer.relays)}" if answer.relays else "direct"
        pair = f"{answer.src} → {answer.dst}"
        table.add_row(pair, how, *(show(answer.path) for _, show in figures), direct, better)
    for none in sorted(answers.no_routes, key=lambda pair: (pair.src, pair.dst)):
        table.add_row(f"{none.src} → {none.dst}", "none", *[MISSING] * (len(figures) + 2))
    return table


def placement_table(answer: PlacementAnswer) -> Table:
    """The sites that can run a job, the soonest first: p50 of each stage, then of all, its p90, and the price."""
    table = plain_table(("site",), ("stage-in", "queue", "run", "stage-out", "done", "p90", "USD"))
    for site in answer.ranking:
        stages_s = (site.stage_in_p50_s, site.queue_s, site.run_s, site.stage_out_p50_s)
        figures = (*stages_s, site.total_p50_s, site.total_p90_s)
        table.add_row(site.site, *(duration(value_s) if value_s else "0" for value_s in figures), price(site.price_usd))
    return table


def placements_table(answer: PlacementsAnswer) -> Table:
    """Where each of several jobs should run."""
    table = plain_table(("job", "site"), ("waits", "done", "p90"))
    for one in answer.placements:
        waits = "0" if one.wait_s == 0 else duration(one.wait_s)
        table.add_row(one.job, one.site or MISSING, waits, duration(one.done_p50_s), duration(one.done_p90_s))
    return table


def capacity_table(answers: Iterable[CapacityAnswer]) -> Table:
    """What the sites have for jobs, and the age of each report."""
    table = plain_table(("site", "type"), ("total", "free", "queue", "queued dev·h", "USD/dev·h", "age"))
    for one in answers:
        table.add_row(
            one.site,
            one.type,
            str(one.total),
            _or_missing(one.free),
            MISSING if one.queue_s is None else "0" if one.queue_s == 0 else duration(one.queue_s),
            _or_missing(one.queued_device_hours),
            price(one.usd_per_device_hour),
            f"{age(one.age_s)}{' expired' if one.state == 'expired' else ''}",
        )
    return table


def _or_missing(value: float | None) -> str:
    return MISSING if value is None else f"{value:g}"


def _ratio(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1%}"


def _times(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f} ×"


_EVALUATION_LINES: tuple[tuple[str, Callable[[RouteEvaluation], str]], ...] = (
    ("decisions looked at", lambda evaluation: str(evaluation.decisions)),
    ("measured afterwards", lambda evaluation: str(evaluation.evaluated)),
    ("regret, mean", lambda evaluation: _ratio(evaluation.regret_mean_ratio)),
    ("regret, p50", lambda evaluation: _ratio(evaluation.regret_p50_ratio)),
    ("regret, p90", lambda evaluation: _ratio(evaluation.regret_p90_ratio)),
    ("as good as direct", lambda evaluation: _times(evaluation.gain_ratio)),
    ("through a relay", lambda evaluation: str(evaluation.relayed)),
    ("of these worse than direct", lambda evaluation: _ratio(evaluation.relayed_worse_ratio)),
    ("failed while another path worked", lambda evaluation: str(evaluation.failed)),
    ("outcomes within p50 (50 % is right)", lambda evaluation: _ratio(evaluation.within_p50_ratio)),
    ("outcomes within p90 (90 % is right)", lambda evaluation: _ratio(evaluation.within_p90_ratio)),
    ("changes of path", lambda evaluation: str(evaluation.switches)),
    ("of these back within 10 min", lambda evaluation: str(evaluation.flaps)),
    ("pair-hours", lambda evaluation: f"{evaluation.pair_hours:.1f}"),
)


def evaluations_table(answer: EvaluationAnswer) -> Table:
    """One column per objective."""
    table = plain_table(("",), [evaluation.objective for evaluation in answer.evaluations])
    for heading, show in _EVALUATION_LINES:
        table.add_row(heading, *(show(evaluation) for evaluation in answer.evaluations))
    return table


def worst_lines(evaluation: RouteEvaluation) -> list[str]:
    """The decisions that lost most, a line each."""
    return [
        f"{worst.at:%H:%M:%S} {' → '.join(worst.path)}: {_loss(worst.regret_ratio)}; best was {' → '.join(worst.best)}"
        for worst in evaluation.worst
    ]


def relay_lines(evaluation: RouteEvaluation) -> list[str]:
    """What each relay was worth, a line each."""
    return [
        f"over {relay.site}: {count(relay.decisions, 'decision')}, {_times(relay.gain_ratio)} direct, "
        f"{_ratio(relay.worse_ratio)} worse than it, {_ratio(relay.within_p90_ratio)} within p90{_suspect(relay)}"
        for relay in evaluation.relays
    ]


_PLACEMENT_LINES: tuple[tuple[str, Callable[[PlacementEvaluation], str]], ...] = (
    ("decisions looked at", lambda placed: str(placed.decisions)),
    ("measured and said afterwards", lambda placed: str(placed.evaluated)),
    ("regret, mean", lambda placed: _ratio(placed.regret_mean_ratio)),
    ("stage-in within p90 (90 % is right)", lambda placed: _ratio(placed.stage_in_within_p90_ratio)),
    ("whole time within p90 (90 % is right)", lambda placed: _ratio(placed.within_p90_ratio)),
    ("devices there as said", lambda placed: _ratio(placed.devices_held_ratio)),
)


def placement_scores_table(placed: PlacementEvaluation) -> Table:
    """How placements did."""
    table = plain_table(("",), ("placement",))
    for heading, show in _PLACEMENT_LINES:
        table.add_row(heading, show(placed))
    return table


def placement_lines(placed: PlacementEvaluation) -> list[str]:
    """What became of each site's claims, a line each."""
    return [
        f"{one.site}: {_ratio(one.devices_held_ratio)} of {count(one.device_claims, 'claim')} of devices and "
        f"{_ratio(one.goodput_held_ratio)} of {one.goodput_claims} of goodput came true{_suspect(one)}"
        for one in placed.sites
    ]


def _suspect(score: RelayScore | SiteScore) -> str:
    return f"; suspect: {score.suspect}" if score.suspect else ""


def _loss(regret: float | None) -> str:
    return "failed" if regret is None else f"{regret:.1%} worse"


def plain_table(texts: Iterable[str], figures: Iterable[str]) -> Table:
    """A table without rows: columns of texts, then of figures, which stand at the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in texts:
        table.add_column(heading, no_wrap=True)
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
