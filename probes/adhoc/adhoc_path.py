"""`linkweather test --path` behind its options: traces the path to a host, prints it, returns the exit status."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from linkweather.cli.output import echo
from linkweather.cli.root import EXIT_DONE, EXIT_FAILED
from linkweather.cli.terminal import Terminal
from linkweather.errors import MeasurementError
from linkweather.mesh import PathMethod
from linkweather.units import duration
from probes.path.traced_route import HopResponder, Step, cut_off, fingerprint, not_within, reached, route, steps
from probes.path.tracer_lines import HopSample, TraceRequest
from probes.path.tracer_process import run

TITLES: Mapping[PathMethod, str] = {"udp": "UDP to port {port}", "icmp": "ICMP echo", "tcp": "TCP SYN to port {port}"}


@dataclass(frozen=True, slots=True)
class TracedPath:
    """What a trace found, all of it or, interrupted, what was known until then."""

    request: TraceRequest
    at: datetime
    samples: tuple[HopSample, ...]
    address: str | None = None
    path_mtu_bytes: int | None = None
    interrupted: bool = False


def perform(request: TraceRequest, *, as_json: bool) -> int:
    """Trace and print; 1 when there is no answer at all, or the trace cannot be made."""
    try:
        found = _watched(request, quiet=as_json)
    except MeasurementError as error:
        if as_json:
            echo(json.dumps({"host": request.host, "failure": error.reason, "detail": error.detail}))
        else:
            echo(f"Error: {error.detail}", err=True)
        return EXIT_FAILED
    echo(json.dumps(document(found), allow_nan=False) if as_json else text(found))
    return EXIT_DONE if steps(found.samples) else EXIT_FAILED


def document(found: TracedPath) -> dict[str, Any]:
    """The JSON document of a trace."""
    request, known = found.request, steps(found.samples)
    return {
        "host": request.host,
        "address": found.address,
        "at": found.at.isoformat(),
        "method": request.method,
        "port": None if request.method == "icmp" else request.port,
        "flows": request.flows,
        "interrupted": found.interrupted,
        "failure": None if known else "no_reply",
        "reached": reached(found.samples),
        "max_hops": request.max_hops,
        "fingerprint": fingerprint(route(found.samples)) if known else None,
        "path_mtu_bytes": found.path_mtu_bytes,
        "hops": [_hop(step) for step in known],
    }


def text(found: TracedPath) -> str:
    """The trace for people, without a newline at its end."""
    request, known = found.request, steps(found.samples)
    where = request.host if found.address in {None, request.host} else f"{request.host} ({found.address})"
    how = TITLES[request.method].format(port=request.port)
    flows = f"{request.flows} flow{'s' * (request.flows != 1)}"
    title = f"Path to {where} by {how}, {flows}"
    if not known:
        return f"{title}: neither the host nor any router on the way answers"
    return "\n".join([title, *lines(known), "", *(f"  {sentence}" for sentence in _sentences(found, known))])


def _sentences(found: TracedPath, known: tuple[Step, ...]) -> list[str]:
    if reached(found.samples):
        end = f"The host is {len(known)} hop{'s' * (len(known) != 1)} away."
    elif cut_off(found.samples, found.request.max_hops):
        end = f"The host is {not_within(found.request.max_hops)}: raise --max-hops."
    else:
        end = f"The host does not answer, and nothing beyond hop {len(known)} does."
    mtu = "not known" if found.path_mtu_bytes is None else f"{found.path_mtu_bytes}"
    sentences = [end, f"path MTU {mtu}, fingerprint {fingerprint(route(found.samples))}"]
    return [*sentences, "Interrupted: this is what was known until then."] if found.interrupted else sentences


def _hop(step: Step) -> dict[str, Any]:
    return {
        "ttl": step.ttl,
        "sent": step.sent,
        "lost": step.lost,
        "responders": [each._asdict() for each in step.responders],
    }


def _watched(request: TraceRequest, *, quiet: bool) -> TracedPath:
    console = Terminal()
    if quiet or not console.is_terminal:
        return asyncio.run(_trace(request))
    with console.status(f"tracing the path to {request.host} …"):
        return asyncio.run(_trace(request))


async def _trace(request: TraceRequest) -> TracedPath:
    loop = asyncio.get_running_loop()
    samples: list[HopSample] = []
    try:
        async with asyncio.timeout(None) as limit:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, lambda: limit.reschedule(loop.time()))
            traced = await run(request, samples.append)
    except TimeoutError:
        return TracedPath(request, datetime.now(UTC), tuple(samples), interrupted=True)
    return TracedPath(request, datetime.now(UTC), traced.samples, traced.address, traced.path_mtu_bytes)


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


def _cell(responder: HopResponder, address_width: int, *, parallel: bool) -> str:
    cell = f"{responder.address.ljust(address_width)}  {duration(responder.rtt_s):>8}"
    notes = [f"MPLS {'/'.join(map(str, responder.labels))}"] if responder.labels else []
    notes += [f"{len(responder.flows)} flow{'s' * (len(responder.flows) != 1)}"] if parallel else []
    return f"{cell}  {', '.join(notes)}" if notes else cell
