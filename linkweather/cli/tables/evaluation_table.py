"""The judge's verdicts as a table."""

from __future__ import annotations

from collections.abc import Callable

from rich import box
from rich.table import Table

from linkweather.models.evaluation import JudgeAnswer, Verdict
from linkweather.units import MISSING


def _ratio(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1%}"


def _times(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f} ×"


_LINES: tuple[tuple[str, Callable[[Verdict], str]], ...] = (
    ("decisions looked at", lambda verdict: str(verdict.noted)),
    ("judged by what came after", lambda verdict: str(verdict.judged)),
    ("regret, mean", lambda verdict: _ratio(verdict.regret_mean_ratio)),
    ("regret, p50", lambda verdict: _ratio(verdict.regret_p50_ratio)),
    ("regret, p90", lambda verdict: _ratio(verdict.regret_p90_ratio)),
    ("as good as direct", lambda verdict: _times(verdict.gain_ratio)),
    ("through a relay", lambda verdict: str(verdict.relayed)),
    ("of these worse than direct", lambda verdict: _ratio(verdict.relayed_worse_ratio)),
    ("failed while another path worked", lambda verdict: str(verdict.failed)),
    ("outcomes within p50 (50 % is right)", lambda verdict: _ratio(verdict.within_p50_ratio)),
    ("outcomes within p90 (90 % is right)", lambda verdict: _ratio(verdict.within_p90_ratio)),
    ("changes of path", lambda verdict: str(verdict.switches)),
    ("of these back within 10 min", lambda verdict: str(verdict.flaps)),
    ("pair-hours", lambda verdict: f"{verdict.pair_hours:.1f}"),
)


def verdicts_table(answer: JudgeAnswer) -> Table:
    """One column per objective."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for verdict in answer.verdicts:
        table.add_column(verdict.objective, justify="right", no_wrap=True)
    for heading, show in _LINES:
        table.add_row(heading, *(show(verdict) for verdict in answer.verdicts))
    return table


def worst_lines(verdict: Verdict) -> list[str]:
    """The decisions that lost most, a line each."""
    return [
        f"{worst.at:%H:%M:%S} {' → '.join(worst.path)}: {_loss(worst.regret_ratio)}; best was {' → '.join(worst.best)}"
        for worst in verdict.worst
    ]


def _loss(regret: float | None) -> str:
    return "failed" if regret is None else f"{regret:.1%} worse"
