"""A traced path as text, at most 80 columns: a line per TTL, with parallel paths side by side."""

from __future__ import annotations

from collections.abc import Sequence

from linkweather.units import duration
from probes.path.traced_route import Responder, Step

WIDTH = 78
SILENT = "*"
_LEAD = "  {hop:>3}  {loss:>6}  "
_BETWEEN = "   "


def lines(steps: Sequence[Step]) -> list[str]:
    """The table, with its heading."""
    address_width = max((len(each.address) for step in steps for each in step.responders), default=0)
    heading = _LEAD.format(hop="hop", loss="loss") + "address".ljust(address_width) + f"{'RTT':>10}"
    return [heading, *(line for step in steps for line in _step(step, address_width))]


def _step(step: Step, address_width: int) -> list[str]:
    loss = f"{100 * step.lost / step.sent:.3g} %" if step.sent else ""
    lead = _LEAD.format(hop=step.ttl, loss=loss)
    parallel = len(step.responders) > 1
    cells = [_cell(each, address_width, parallel=parallel) for each in step.responders] or [SILENT]
    rows = [cells[0]]
    for cell in cells[1:]:
        if len(lead) + len(rows[-1]) + len(_BETWEEN) + len(cell) <= WIDTH:
            rows[-1] += _BETWEEN + cell
        else:
            rows.append(cell)
    return [(lead if place == 0 else " " * len(lead)) + row for place, row in enumerate(rows)]


def _cell(responder: Responder, address_width: int, *, parallel: bool) -> str:
    cell = f"{responder.address.ljust(address_width)}  {duration(responder.rtt_s):>8}"
    notes = [f"MPLS {'/'.join(map(str, responder.labels))}"] if responder.labels else []
    notes += [f"{len(responder.flows)} flow{'s' * (len(responder.flows) != 1)}"] if parallel else []
    return f"{cell}  {', '.join(notes)}" if notes else cell
