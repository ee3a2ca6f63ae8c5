"""A run of chaos: starts the whole system, breaks it as planned, lets it recover, and balances the records."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import servers
from tests.chaos.balance import Balance, balance
from tests.chaos.injector import Injector
from tests.chaos.mesh_of_processes import System, system
from tests.chaos.records import read_archive, read_journal, watch
from tests.chaos.schedule import PlannedFault, plan
from tests.chaos.small_disk import small_disk
from tests.chaos.stage import SITES, SMALL_DISKS, Scenario, Stage
from tests.chaos.tcp_proxy import Proxies

# The operator lets this site's outbox overflow: some dozens of reports fill it.
LIMITED = "d"
LIMIT_BYTES = 2**17
# Often enough that something is under way at whatever moment something breaks.
BUSY = """
[latency]
interval_s = 0.05
timeout_s = 0.2
report_interval_s = 0.1
[throughput]
every_s = 20
slot_s = 1
max_duration_s = 0.5
link_budget_bytes_per_day = 1_000_000_000
[path]
every_s = 30
flows = 1
"""
# A throughput test that began before the mesh had no links is over by then, and what it found is committed.
QUIET_S = 2.0
# A connection that is half open is noticed by MQTT's keep-alive, and an archive is tried once a minute at last.
RECOVERY_LIMIT_S = 240.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found; `complaints` is empty when all is well."""

    balance: Balance
    ended: Sequence[str]
    complaints: Sequence[str]


def scheduled(faults: int, gap_s: tuple[float, float]) -> Scenario:
    """So many faults, by a schedule that follows from the seed."""
    return Scenario(
        f"{faults} faults",
        lambda stage: follow(stage.injector, plan(stage.seed, faults, _targets(stage.injector), gap_s)),
        sites=SITES,
        outbox_max_bytes={LIMITED: LIMIT_BYTES},
        disks=SMALL_DISKS,
    )


def run(folder: Path, scenario: Scenario, seed: int, say: Callable[[str], None]) -> Outcome:
    """One run below an empty folder. Everything that it starts has ended when it returns or raises."""
    with contextlib.ExitStack() as stack:
        ways = stack.enter_context(Proxies())
        disks = {
            name: stack.enter_context(small_disk(folder / name, size_bytes))
            for name, size_bytes in scenario.disks.items()
        }
        found = stack.enter_context(
            system(
                folder,
                scenario.sites,
                outbox_max_bytes=scenario.outbox_max_bytes,
                faulty=scenario.faulty,
                may_drop=scenario.may_drop,
                through=ways.through,
            )
        )
        injector = Injector(found, ways, {name: disk for name, disk in disks.items() if disk}, _clock(say))
        if len(injector.disks) < len(disks):
            say("no small disks: mounting them needs root")
        begin(found, scenario.silent_peers)
        failed = _tried(lambda: scenario.act(Stage(injector, seed)))
        injector.note("everything is mended; measuring ends, what waits is taken in")
        injector.mend_all()
        failed += _tried(lambda: _recover(found, injector))
        result = compare(found, damaged=scenario.damages_journal)
        tracebacks = [f"a traceback in the log of {name}" for name in found.tracebacks()]
        return Outcome(result, injector.ended, [*failed, *result.differences, *tracebacks])


def _targets(injector: Injector) -> Mapping[str, Sequence[str]]:
    return {
        "process": list(injector.found.parts),
        "way": injector.ways.names,
        "broker": ["broker"],
        "collector": ["collector"],
        "influx": ["influx"],
        "disk": list(injector.disks),
    }


def _tried(step: Callable[[], None]) -> list[str]:
    """What was waited for in vain, or is not as it should be: the balance comes all the same."""
    try:
        step()
    except (pytest.fail.Exception, AssertionError) as error:
        return [str(error)]
    return []


def _recover(found: System, injector: Injector) -> None:
    """Wait until all is taken in and exported."""
    drain(found, injector.restart_ended)
    wait_exported(found)


def _clock(say: Callable[[str], None]) -> Callable[[str], None]:
    began = time.monotonic()
    return lambda text: say(f"{time.monotonic() - began:7.2f} s  {text}")


def begin(found: System, silent_peers: int = 0) -> None:
    """Start everything, and wait until reports flow; the limited site measures so many silent peers as well."""
    for name, file in found.outboxes.items():
        watch(file.path, boot=f"boot-of-{name}")
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
    measure_no_more(found)

    def ready() -> bool:
        attend()
        return found.answers()

    servers.wait_until(ready, "the collector is ready", RECOVERY_LIMIT_S)
    wait_drained(found, found.outboxes, attend)
    for name in found.outboxes.keys() & found.parts.keys():
        found.parts[name].stop()


def measure_no_more(found: System) -> None:
    """Give the sites a mesh without links."""
    found.write_mesh(found.addresses, BUSY, "links = []")


def wait_drained(found: System, probes: Iterable[str], attend: Callable[[], None] = lambda: None) -> None:
    """Wait until no report waits at these probes, and none comes."""

    def drained() -> bool:
        attend()
        before = {probe: found.record(probe) for probe in probes}
        if any(record.waiting for record in before.values()):
            return False
        time.sleep(QUIET_S)
        return before == {probe: found.record(probe) for probe in probes}

    servers.wait_until(drained, "the outboxes are empty", RECOVERY_LIMIT_S)


def wait_exported(found: System) -> None:
    """Wait until InfluxDB has everything that is in the journal, and the ledger knows what the sites said last."""
    servers.wait_until(lambda: found.lag_rows() == 0, "the exporter has written everything", RECOVERY_LIMIT_S)
    servers.wait_until(lambda: found.ledger().total.waiting == 0, "nothing waits in the ledger")


def compare(found: System, *, damaged: bool = False) -> Balance:
    """End the collector, and balance what the outboxes were given, the journal, InfluxDB and the product's ledger."""
    archive, ledger = read_archive(found.ports["influx"], damaged=damaged), found.ledger()
    found.parts["collector"].stop()
    journal = read_journal(found.journal, damaged=damaged)
    return balance([found.record(name) for name in found.outboxes], journal, archive, ledger)


def _silent_peers(found: System, count: int) -> dict[str, str]:
    """Addresses that never answer, for the limited site to measure: its reports are longer."""
    return {f"silent-{n}": f"192.0.2.{n}" for n in range(1, count + 1)} if LIMITED in found.sites else {}


def _links(found: System, silent: Iterable[str]) -> str:
    """All sites to each other, and the limited one to its silent peers."""
    pairs = [*itertools.permutations(found.sites, 2), *((LIMITED, peer) for peer in silent)]
    tables = ", ".join(f"{{src = {json.dumps(src)}, dst = {json.dumps(dst)}}}" for src, dst in pairs)
    return f"links = [{tables}]"
