"""`linkweather test` behind its options: runs the tests, prints and keeps what they found, returns the exit status."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

from linkweather.cli.output import echo
from linkweather.cli.root import EXIT_DONE, EXIT_FAILED
from linkweather.cli.terminal import Terminal
from linkweather.errors import MeasurementError
from probes.adhoc import adhoc_latency as latency
from probes.adhoc import adhoc_throughput as throughput
from probes.adhoc import comparison, saved, summary
from probes.adhoc import host_table as table
from probes.adhoc.adhoc_job import AdhocDisplay, AdhocJob, AdhocOptions, StopRequest
from probes.adhoc.findings import Findings, HostOutcome, LatencyFindings, MeasuredHost, ThroughputFindings
from probes.adhoc.live_display import LiveDisplay
from probes.adhoc.saved import SavedTest


def perform(tests: Sequence[AdhocOptions], *, as_json: bool, save: Path | None, against: Path | None) -> int:
    """Run the tests, then print all: live on a terminal, plain elsewhere.

    Raises OperatorError as `run` does, and for a file that cannot be read or written.
    """
    earlier = None if against is None else saved.read(against)
    if save is not None:
        saved.check_place(save)
    outcomes = _run(tests, watched=not as_json)
    documents = [each.document for each in outcomes]
    if save is not None:
        saved.write(save, saved.together(documents))
    if as_json:
        _print_json(documents, earlier)
    else:
        _print_text(outcomes, earlier)
    return EXIT_FAILED if any(each.failed for each in outcomes) else EXIT_DONE


def _run(tests: Sequence[AdhocOptions], *, watched: bool) -> list[HostOutcome]:
    console = Terminal()
    if not (watched and console.is_terminal):
        return asyncio.run(run(tests, [AdhocDisplay()] * len(tests)))
    with LiveDisplay(console, [options.host for options in tests]) as display:
        return asyncio.run(run(tests, display.panes))


def _print_json(documents: Sequence[dict[str, Any]], earlier: Mapping[str, SavedTest] | None) -> None:
    if earlier is not None:
        compared = [comparison.changes(*_pair(document, earlier)) for document in documents]
        changes = [{"changes": [asdict(change) for change in each]} for each in compared]
        documents = [document | more for document, more in zip(documents, changes, strict=True)]
    echo(json.dumps(saved.together(documents), allow_nan=False))


def _print_text(outcomes: Sequence[HostOutcome], earlier: Mapping[str, SavedTest] | None) -> None:
    # A terminal without block characters gets question marks instead of an error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if len(outcomes) > 1:
        echo(table.text(outcomes))
    elif outcomes[0].findings is None:
        echo(f"Error: {outcomes[0].detail}", err=True)
    else:
        echo(summary.text(outcomes[0].findings))
    if earlier is not None:
        for each in outcomes:
            echo(f"\n{comparison.text(*_pair(each.document, earlier))}")


def _pair(document: dict[str, Any], earlier: Mapping[str, SavedTest]) -> tuple[SavedTest | None, SavedTest]:
    now = SavedTest.model_validate(document)
    return earlier.get(now.host), now


_ENDS = (signal.SIGINT, signal.SIGTERM)
_FAMILY_NAMES: Mapping[int, str] = {socket.AF_INET: " for IPv4", socket.AF_INET6: " for IPv6"}


class _HostBegun(NamedTuple):
    """A test whose latency is measured."""

    job: AdhocJob
    latency: LatencyFindings | None


async def run(tests: Sequence[AdhocOptions], watches: Sequence[AdhocDisplay]) -> list[HostOutcome]:
    """Test the hosts: the latency of all at once, as of the same minute; then the throughput of one after the other.

    Ctrl-C (SIGINT) or SIGTERM ends it early, with what was measured until then; a second one aborts.
    Raises OperatorError for what this machine lacks.
    """
    stop = StopRequest()
    _end_by_signals(stop)
    try:
        async with asyncio.TaskGroup() as group:
            beginning = [
                group.create_task(_begin(options, watch, stop), name=f"latency[{options.host}]")
                for options, watch in zip(tests, watches, strict=True)
            ]
    except ExceptionGroup as errors:
        # What this machine lacks is missing for every host.
        raise errors.exceptions[0] from None
    return [await _finish(task.result()) for task in beginning]


def _end_by_signals(stop: StopRequest) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        for number in _ENDS:
            loop.remove_signal_handler(number)
        stop.ask()

    for number in _ENDS:
        loop.add_signal_handler(number, end)


async def _begin(options: AdhocOptions, watch: AdhocDisplay, stop: StopRequest) -> _HostBegun | HostOutcome:
    try:
        target = await resolve(options.host, options.family)
    except MeasurementError as error:
        return HostOutcome(options.host, failure=error.reason, detail=error.detail)
    job = AdhocJob(options, target, watch, stop)
    return _HostBegun(job, await latency.measure(job) if options.latency else None)


async def _finish(begun: _HostBegun | HostOutcome) -> HostOutcome:
    if isinstance(begun, HostOutcome):
        return begun
    job, found = begun
    if found is not None:
        job = job._replace(rtt_s=found.row.rtt_p95_s)
    one_way, other_way = await _throughput(job)
    at, interrupted = datetime.now(UTC), job.stop.asked
    findings = Findings(job.target, at, found, one_way, other_way, interrupted=interrupted)
    return HostOutcome(job.options.host, findings)


async def _throughput(job: AdhocJob) -> tuple[ThroughputFindings | None, ThroughputFindings | None]:
    """One direction, then the other where both are asked for and a server is there; never both at once."""
    load = job.options.load
    if job.options.throughput is False or job.stop.asked:
        return None, None
    first = await throughput.measure(job, reverse=load.reverse)
    if not load.both or job.stop.asked or first.row.failure in throughput.NO_SERVER:
        return first, None
    return first, await throughput.measure(job, reverse=not load.reverse)


async def resolve(host: str, family: int) -> MeasuredHost:
    """The host's first address. Raises MeasurementError `unresolved`, in one sentence."""
    loop = asyncio.get_running_loop()
    try:
        answers = await loop.getaddrinfo(host, None, family=family, type=socket.SOCK_DGRAM)
        # Unlike the answer's own text, this keeps the interface of a link-local address.
        where = cast("tuple[str, int]", answers[0][4])
        address, _ = await loop.getnameinfo(where, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no host name"
        raise MeasurementError("unresolved", f"{host} has no address{_FAMILY_NAMES.get(family, '')}: {why}") from None
    return MeasuredHost(host, address)
