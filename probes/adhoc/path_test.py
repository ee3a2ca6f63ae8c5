"""`linkweather test --path` behind its options: traces the path to a host, prints it, returns the exit status."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console

from linkweather.cli.root import EXIT_DONE, EXIT_FAILED
from linkweather.errors import MeasurementError
from linkweather.mesh import PathMethod
from probes.adhoc.hops import lines
from probes.path.traced_route import Step, fingerprint, reached, route, steps
from probes.path.tracer_lines import Request, Sample
from probes.path.tracer_process import run

TITLES: Mapping[PathMethod, str] = {"udp": "UDP to port {port}", "icmp": "ICMP echo", "tcp": "TCP SYN to port {port}"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a trace found, all of it or, interrupted, what was known until then."""

    request: Request
    at: datetime
    samples: tuple[Sample, ...]
    address: str | None = None
    path_mtu_bytes: int | None = None
    interrupted: bool = False


def perform(request: Request, *, as_json: bool) -> int:
    """Trace and print; 1 when nobody answers at all, or the trace cannot be made."""
    try:
        found = _watched(request, quiet=as_json)
    except MeasurementError as error:
        if as_json:
            click.echo(json.dumps({"host": request.host, "failure": error.reason, "detail": error.detail}))
        else:
            click.echo(f"Error: {error.detail}", err=True)
        return EXIT_FAILED
    click.echo(json.dumps(document(found), allow_nan=False) if as_json else text(found))
    return EXIT_DONE if steps(found.samples) else EXIT_FAILED


def document(found: Found) -> dict[str, Any]:
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
        "fingerprint": fingerprint(route(found.samples)) if known else None,
        "path_mtu_bytes": found.path_mtu_bytes,
        "hops": [_hop(step) for step in known],
    }


def text(found: Found) -> str:
    """The trace for people, without a newline at its end."""
    request, known = found.request, steps(found.samples)
    where = request.host if found.address in {None, request.host} else f"{request.host} ({found.address})"
    how = TITLES[request.method].format(port=request.port)
    flows = f"{request.flows} flow{'s' * (request.flows != 1)}"
    title = f"Path to {where} by {how}, {flows}"
    if not known:
        return f"{title}: nobody answers, neither the host nor any router on the way"
    return "\n".join([title, *lines(known), "", *(f"  {sentence}" for sentence in _sentences(found, known))])


def _sentences(found: Found, known: tuple[Step, ...]) -> list[str]:
    end = (
        f"The host is {len(known)} hop{'s' * (len(known) != 1)} away."
        if reached(found.samples)
        else f"The host does not answer; nobody does beyond hop {len(known)}."
    )
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


def _watched(request: Request, *, quiet: bool) -> Found:
    console = Console()
    if quiet or not console.is_terminal:
        return asyncio.run(_trace(request))
    with console.status(f"tracing the path to {request.host} …"):
        return asyncio.run(_trace(request))


async def _trace(request: Request) -> Found:
    loop = asyncio.get_running_loop()
    samples: list[Sample] = []
    try:
        async with asyncio.timeout(None) as limit:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, lambda: limit.reschedule(loop.time()))
            traced = await run(request, samples.append)
    except TimeoutError:
        return Found(request, datetime.now(UTC), tuple(samples), interrupted=True)
    return Found(request, datetime.now(UTC), traced.samples, traced.address, traced.path_mtu_bytes)
