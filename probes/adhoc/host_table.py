"""Several hosts side by side: a line each, then why something was not measured. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from linkweather.units import MISSING, duration, rate
from probes.adhoc.findings import Findings, HostOutcome, ThroughputFindings
from probes.adhoc.summary import WIDTH

_GAP = "  "
_SHORTEST_HOST = 12


def text(outcomes: Sequence[HostOutcome]) -> str:
    """The table, without columns that no host fills, and the failures below it; no newline at its end."""
    cells = {title: [title, *(_cell(each, column) for each in outcomes)] for title, column in COLUMNS.items()}
    filled = [column for column in cells.values() if any(cell != MISSING for cell in column[1:])]
    columns = [[cell.rjust(max(map(len, column))) for cell in column] for column in filled]
    room = max(_SHORTEST_HOST, WIDTH - sum(len(_GAP) + len(column[0]) for column in columns))
    hosts = ["host", *(_cut(each.host, room) for each in outcomes)]
    width = max(map(len, hosts))
    rows = zip([host.ljust(width) for host in hosts], *columns, strict=True)
    failures = [line for each in outcomes for line in _failures(each)]
    return "\n".join([_GAP.join(row) for row in rows] + ([""] if failures else []) + failures)


def _rtt(name: str) -> Callable[[Findings], str]:
    return lambda found: duration(getattr(found.latency.row, name)) if found.latency else MISSING


def _method(found: Findings) -> str:
    return found.latency.row.method.upper() if found.latency and not found.latency.failed else MISSING


def _loss(found: Findings) -> str:
    if found.latency is None or found.latency.row.sent == 0:
        return MISSING
    row = found.latency.row
    return _percent(row.sent - row.received, row.sent)


def _goodput(*, reverse: bool) -> Callable[[Findings], str]:
    def cell(found: Findings) -> str:
        rates = [each.row.goodput_bps for each in found.throughputs if each.reverse == reverse]
        return rate(rates[0]) if rates else MISSING

    return cell


def _datagrams(*, reverse: bool) -> Callable[[Findings], str]:
    def cell(found: Findings) -> str:
        counts = [each.datagrams for each in found.throughputs if each.reverse == reverse]
        return _percent(counts[0].lost, counts[0].sent) if counts and counts[0] and counts[0].sent else MISSING

    return cell


COLUMNS: Mapping[str, Callable[[Findings], str]] = {
    "method": _method,
    "RTT p50": _rtt("rtt_p50_s"),
    "p99": _rtt("rtt_p99_s"),
    "jitter": _rtt("jitter_p95_p50_s"),
    "loss": _loss,
    "from host": _goodput(reverse=True),
    "UDP loss": _datagrams(reverse=True),
    "to host": _goodput(reverse=False),
    "UDP loss to": _datagrams(reverse=False),
}


def _cell(outcome: HostOutcome, column: Callable[[Findings], str]) -> str:
    return column(outcome.findings) if outcome.findings else MISSING


def _failures(outcome: HostOutcome) -> list[str]:
    found = outcome.findings
    if found is None:
        return [outcome.detail]
    silent = [f"{found.target}: no reply at all"] if found.latency and found.latency.failed else []
    return silent + [_reason(found, each) for each in found.throughputs if each.failed]


def _reason(found: Findings, test: ThroughputFindings) -> str:
    way = "from" if test.reverse else "to"
    return f"goodput {way} {found.target}: not measured, {test.row.detail or test.row.failure}"


def _percent(lost: int, sent: int) -> str:
    return f"{100 * lost / sent:.3g} %"


def _cut(name: str, room: int) -> str:
    return name if len(name) <= room else f"{name[: room - 1]}…"
