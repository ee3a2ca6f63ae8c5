"""What is recorded, as tables for people in a terminal: histories, availability, incidents, sinks, ledgers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from linkweather.cli.tables import plain_table
from linkweather.models.incidents import IncidentsAnswer, SilenceAnswer
from linkweather.models.ledger import LedgerAnswer, SetAsideAnswer, SinkAnswer
from linkweather.models.link_history import LinkHistoryAnswer, SlaAnswer, SlaFigures
from linkweather.units import MISSING, age, megabits, milliseconds, percent

SEVERITY_STYLES: Mapping[str, str] = {"critical": "bold red", "warning": "yellow"}
_LEDGER_COUNTS = ("written", "committed", "waiting", "dropped", "damaged", "refused", "refiled", "gaps")
_SINK_COUNTS = ("committed", "exported", "waiting", "set_aside", "dropped", "missed", "unexplained")


def history_table(answer: LinkHistoryAnswer) -> Table:
    """One link, step by step; times are UTC."""
    table = plain_table(("from",), ("RTT ms", "p95", "min", "max", "loss %", "up %", "Mbit/s"))
    for step in answer.steps:
        rtts_s = (step.rtt_p50_s, step.rtt_p95_s, step.rtt_min_s, step.rtt_max_s)
        shares = (step.loss_ratio, step.available_ratio)
        figures = (*map(milliseconds, rtts_s), *map(percent, shares), megabits(step.goodput_mean_bps))
        table.add_row(f"{step.at:%Y-%m-%d %H:%M:%S}", *figures)
    return table


def sla_table(answer: SlaAnswer) -> Table:
    """Each link over the whole span, the least available first, and all together."""
    table = plain_table(("link",), ("up %", "down", "known %", "loss %", "RTT ms", "p95", "p99", "max"))
    lines: list[tuple[str, SlaFigures]] = [(f"{one.src} → {one.dst}", one) for one in answer.links]
    for name, one in [*lines, ("together", answer.together)] if len(lines) > 1 else lines:
        rtts_s = (one.rtt_p50_s, one.rtt_p95_s, one.rtt_p99_s, one.rtt_max_s)
        shares = (percent(one.measured_ratio), percent(one.loss_ratio))
        down = age(one.unavailable_s) if one.unavailable_s else "0"
        table.add_row(name, _availability(one.available_ratio), down, *shares, *map(milliseconds, rtts_s))
    return table


def _availability(ratio: float | None) -> str:
    """In per cent with three decimals, rounded down: what was down for a moment was not always available."""
    return MISSING if ratio is None else f"{math.floor(ratio * 1e5) / 1e3:.3f}"


def sinks_table(sinks: Iterable[SinkAnswer]) -> Table:
    """How each sink is; rows are counted."""
    table = plain_table(("sink", "kind", "state"), ("lag", "exported", "set aside", "dropped"))
    for one in sinks:
        counts = (one.lag_rows, one.exported_rows, one.set_aside_rows, one.dropped_rows)
        table.add_row(one.sink, one.kind or MISSING, one.state, *map(str, counts))
    return table


def set_aside_table(entries: Iterable[SetAsideAnswer]) -> Table:
    """Rows that a sink refused, by their numbers in the journal, and why."""
    table = plain_table(("at", "kind", "rows"), ("refused",))
    table.add_column("reason", overflow="fold")
    for one in entries:
        numbers = str(one.first) if one.first == one.last else f"{one.first}–{one.last}"
        reason = f"to be sent again; {one.reason}" if one.waiting else one.reason
        table.add_row(f"{one.at:%Y-%m-%d %H:%M:%S}", one.kind, numbers, str(one.rows), reason)
    return table


def incidents_table(answer: IncidentsAnswer) -> Table:
    """What is wrong, and what was: how long it lasts or lasted, and the sentence, with where the traffic goes."""
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    table.add_column("incident")
    table.add_column("lasts", justify="right")
    table.add_column("what", overflow="fold")
    for one in answer.incidents:
        lasting = one.until is None
        lasted_s = ((one.until or answer.at) - one.since).total_seconds()
        style = SEVERITY_STYLES[one.severity] if lasting and one.silence is None else "dim"
        name = one.severity if lasting else "merged" if one.merged_into else "over"
        words = "; ".join([one.sentence, *one.routes, *([_silenced(one.silence)] if one.silence else [])])
        table.add_row(Text(name, style=style), age(lasted_s), Text(words, style="" if lasting else "dim"))
    return table


def _silenced(silence: SilenceAnswer) -> str:
    how = "acknowledged" if silence.incident else "silenced"
    return f"{how} until {silence.until:%Y-%m-%d %H:%M} UTC: {silence.reason}"


def silences_table(silences: Iterable[SilenceAnswer]) -> Table:
    """What people are not told of, until when, and why."""
    table = plain_table(("id", "what", "until (UTC)"), ())
    table.add_column("why", overflow="fold")
    for one in silences:
        links = f"{one.src} – {one.dst}" if one.src else ""
        of = " ".join(filter(None, (one.incident and f"incident {one.incident}", one.site, links, one.kind)))
        table.add_row(one.id, of, f"{one.until:%Y-%m-%d %H:%M}", one.reason)
    return table


def ledger_table(answer: LedgerAnswer) -> Table:
    """Reports by outbox; the first figure is the sum of the others. A column that is seldom needed is left out then."""
    names = [name for name in _LEDGER_COUNTS if name != "damaged" or answer.total.damaged]
    table = plain_table(("site", "boot"), names)
    for line in answer.outboxes:
        table.add_row(line.site, line.boot[:8], *(str(getattr(line, name)) for name in names))
    return table


def sink_ledger_table(answer: LedgerAnswer) -> Table:
    """Rows by sink; the first figure is the sum of the others."""
    table = plain_table(("sink",), [name.replace("_", " ") for name in _SINK_COUNTS])
    for sink in answer.sinks:
        table.add_row(sink.sink, *(str(getattr(sink, f"{name}_rows")) for name in _SINK_COUNTS))
    return table
