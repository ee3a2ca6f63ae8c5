"""Evaluations as a table."""

from __future__ import annotations

from collections.abc import Callable

from rich import box
from rich.table import Table

from linkweather.models.evaluation import EvaluationAnswer, RouteEvaluation
from linkweather.units import MISSING


def _ratio(value: float | None) -> str:
    return MISSING if value is None else f"{value:.1%}"


def _times(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f} ×"


_LINES: tuple[tuple[str, Callable[[RouteEvaluation], str]], ...] = (
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
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for evaluation in answer.evaluations:
        table.add_column(evaluation.objective, justify="right", no_wrap=True)
    for heading, show in _LINES:
        table.add_row(heading, *(show(evaluation) for evaluation in answer.evaluations))
    return table


def worst_lines(evaluation: RouteEvaluation) -> list[str]:
    """The decisions that lost most, a line each."""
    return [
        f"{worst.at:%H:%M:%S} {' → '.join(worst.path)}: {_loss(worst.regret_ratio)}; best was {' → '.join(worst.best)}"
        for worst in evaluation.worst
    ]


def _loss(regret: float | None) -> str:
    return "failed" if regret is None else f"{regret:.1%} worse"
