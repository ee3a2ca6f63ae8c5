"""A run of chaos: starts the whole system, breaks it as planned, lets it recover, and balances the records."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import servers
from tests.chaos.balance import Balance, OutboxRecord, balance
from tests.chaos.injector import Injector
from tests.chaos.mesh_of_processes import System, system
from tests.chaos.records import read_archive, read_journal, read_outbox, watch
from tests.chaos.schedule import PlannedFault, plan
from tests.chaos.small_disk import small_disk
from tests.chaos.tcp_proxy import Proxies

SITES = ("a", "b", "c", "d")
# The operator lets this site's outbox overflow: some dozens of reports fill it.
LIMITED = "d"
LIMIT_BYTES = 2**17
# Files of a probe and of the collector lie on disks that have room for a run and fill up at once.
SMALL_DISKS = {"a": 16 * 2**20, "collector": 128 * 2**20}
# Often enough that something is under way at whatever moment something breaks.
BUSY = """
[latency]
interval_s = 0.05
timeout_s = 0.2
report_interval_s = 0.1
[throughput]
enabled = false
[path]
enabled = false
"""
# A connection that is half open is noticed by MQTT's keep-alive, and an archive is tried once a minute at last.
RECOVERY_LIMIT_S = 240.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found; `complaints` is empty when all is well."""

    balance: Balance
    ended: Sequence[str]
    complaints: Sequence[str]


def run(folder: Path, seed: int, faults: int, gap_s: tuple[float, float], say: Callable[[str], None]) -> Outcome:
    """One run below an empty folder. Everything that it starts has ended when it returns or raises."""
    with contextlib.ExitStack() as stack:
        ways = stack.enter_context(Proxies())
        disks = {name: stack.enter_context(small_disk(folder / name, size)) for name, size in SMALL_DISKS.items()}
        limit = {LIMITED: LIMIT_BYTES}
        found = stack.enter_context(system(folder, SITES, outbox_max_bytes=limit, through=ways.through))
        injector = Injector(found, ways, {name: disk for name, disk in disks.items() if disk}, _clock(say))
        if not injector.disks:
            say("no small disks: mounting them needs root")
        begin(found)
        targets = {
            "process": list(found.parts),
            "way": ways.names,
            "broker": ["broker"],
            "collector": ["collector"],
            "influx": ["influx"],
            "disk": list(injector.disks),
        }
        follow(injector, plan(seed, faults, targets, gap_s))
        injector.note("everything is mended; measuring ends, what waits is taken in")
        injector.mend_all()
        stuck = _recover(found, injector)
        result = compare(found)
        tracebacks = [f"a traceback in the log of {name}" for name in found.tracebacks()]
        return Outcome(result, injector.ended, [*stuck, *result.differences, *tracebacks])


def _recover(found: System, injector: Injector) -> list[str]:
    """Wait until all is taken in and exported; returns what was waited for in vain: the ledger comes all the same."""
    try:
        drain(found, injector.restart_ended)
        wait_exported(found)
    except pytest.fail.Exception as error:
        return [str(error)]
    return []


def _clock(say: Callable[[str], None]) -> Callable[[str], None]:
    began = time.monotonic()
    return lambda text: say(f"{time.monotonic() - began:7.2f} s  {text}")


def begin(found: System, silent_peers: int = 0) -> None:
    """Start everything, and wait until reports flow; the limited site measures so many silent peers as well."""
    for site in found.sites:
        watch(found.folder / site / "outbox.sqlite", boot=f"boot-of-{site}")
    silent = _silent_peers(found, silent_peers)
    found.write_mesh({**found.addresses, **silent}, BUSY, _links(found, silent))
    found.start(*found.parts)
    servers.wait_until(lambda: found.committed_reports() > 20, "reports are committed", RECOVERY_LIMIT_S)


def follow(injector: Injector, planned: Sequence[PlannedFault]) -> None:
    """Begin and mend as planned, and restart what ends by itself."""
    order = itertools.count()
    agenda = [(fault.at_s, next(order), fault, injector.begin) for fault in planned]
    agenda += [(fault.at_s + fault.hold_s, next(order), fault, injector.mend) for fault in planned]
    heapq.heapify(agenda)
    began = time.monotonic()
    while agenda:
        at_s, _, fault, do = heapq.heappop(agenda)
        while (left_s := at_s - (time.monotonic() - began)) > 0:
            time.sleep(min(left_s, 0.2))
            injector.restart_ended()
        do(fault)


def drain(found: System, attend: Callable[[], None] = lambda: None) -> None:
    """Measure no more, wait until all that was measured is committed and exported, and end the probes."""
    found.write_mesh(found.addresses, BUSY, "links = []")

    def drained() -> bool:
        attend()
        before = {site: _state(found, site) for site in found.sites}
        time.sleep(0.5)
        after = {site: _state(found, site) for site in found.sites}
        return before == after and all(state and not state.waiting for state in after.values())

    def ready() -> bool:
        attend()
        return found.answers()

    servers.wait_until(ready, "the collector is ready", RECOVERY_LIMIT_S)
    servers.wait_until(drained, "the outboxes are empty", RECOVERY_LIMIT_S)
    for site in found.sites:
        found.parts[f"probe {site}"].stop()


def wait_exported(found: System) -> None:
    """Wait until InfluxDB has everything that is in the journal."""
    servers.wait_until(lambda: found.lag_rows() == 0, "the exporter has written everything", RECOVERY_LIMIT_S)


def compare(found: System) -> Balance:
    """End the collector, and balance what the outboxes were given, the journal and InfluxDB."""
    archive = read_archive(found.ports["influx"])
    found.parts["collector"].stop()
    return balance([outbox_record(found, site) for site in found.sites], read_journal(found.journal), archive)


def outbox_record(found: System, site: str) -> OutboxRecord:
    """What the outbox of a site was given, and what is left of it."""
    return read_outbox(found.folder / site / "outbox.sqlite", site, limited=site == LIMITED)


def _state(found: System, site: str) -> OutboxRecord | None:
    """None while the copy of a file in use is torn."""
    try:
        return outbox_record(found, site)
    except sqlite3.DatabaseError:
        return None


def _silent_peers(found: System, count: int) -> dict[str, str]:
    """Addresses that never answer, for the limited site to measure: its reports are longer."""
    return {f"silent-{n}": f"192.0.2.{n}" for n in range(1, count + 1)} if LIMITED in found.sites else {}


def _links(found: System, silent: Iterable[str]) -> str:
    """All sites to each other, and the limited one to its silent peers."""
    pairs = [*itertools.permutations(found.sites, 2), *((LIMITED, peer) for peer in silent)]
    tables = ", ".join(f"{{src = {json.dumps(src)}, dst = {json.dumps(dst)}}}" for src, dst in pairs)
    return f"links = [{tables}]"
