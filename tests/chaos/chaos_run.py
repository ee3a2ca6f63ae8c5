"""A run of chaos: starts the whole system, breaks it as planned, lets it recover, and balances the records."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests import servers
from tests.chaos.balance import Balance, OutboxRecord, balance
from tests.chaos.mesh_of_processes import STOP_LIMIT_S, System, system
from tests.chaos.records import read_archive, read_journal, read_outbox, watch
from tests.chaos.schedule import PlannedFault, plan
from tests.chaos.small_disk import SmallDisk, small_disk
from tests.chaos.tcp_proxy import Proxies, WayState

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
# As systemd would: what ends by itself is started again.
RESTART_S = 0.5
# A connection that is half open is noticed by MQTT's keep-alive, and an archive is tried once a minute at last.
RECOVERY_LIMIT_S = 240.0


@dataclass
class Injector:
    """Breaks one thing at a time, and mends it; `note` gets a line for each."""

    found: System
    ways: Proxies
    disks: Mapping[str, SmallDisk]
    note: Callable[[str], None]
    ended: list[str] = field(default_factory=list)

    def begin(self, fault: PlannedFault) -> None:
        self.note(f"#{fault.number:03} {fault.kind:<10} {fault.target} for {fault.hold_s:.2f} s")
        _BEGIN[fault.kind](self, fault.target)

    def mend(self, fault: PlannedFault) -> None:
        _MEND[fault.kind](self, fault.target)

    def mend_all(self) -> None:
        """Whatever is still broken."""
        for way in self.ways.names:
            self.open_way(way)
        for disk in self.disks.values():
            disk.empty()
            disk.make_writable()
        for name in self.found.parts:
            self.resume(name)
            self.start(name)

    def restart_ended(self) -> None:
        """Start what has ended by itself, and say so."""
        for name, part in self.found.parts.items():
            if part.process is not None and part.process.poll() is not None:
                last = part.log.read_text(errors="replace").splitlines()[-1:]
                self.ended.append(name)
                self.note(f"     {name} ended by itself ({part.process.returncode}): {' '.join(last)[:200]}")
                part.kill()
                time.sleep(RESTART_S)
                part.start()

    def kill(self, name: str) -> None:
        if self.found.parts[name].process is not None:
            self.found.parts[name].kill()

    def start(self, name: str) -> None:
        if self.found.parts[name].process is None:
            self.found.parts[name].start()

    def stop(self, name: str) -> None:
        part = self.found.parts[name]
        if part.process is None:
            return
        self.resume(name)  # as systemd does: a stopped process takes no SIGTERM
        try:
            part.end(signal.SIGTERM)
        except subprocess.TimeoutExpired:
            self.note(f"     {name} does not end within {STOP_LIMIT_S:g} s of SIGTERM: killed")
            part.kill()

    def restart(self, name: str) -> None:
        self.kill(name)
        self.start(name)

    def pause(self, name: str) -> None:
        self.found.parts[name].send(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self.found.parts[name].send(signal.SIGCONT)

    def open_way(self, way: str) -> None:
        self.ways.turn(way, "open")

    def lose_memory(self, name: str) -> None:
        self.kill(name)
        self.found.broker_memory.unlink(missing_ok=True)

    def mute(self, name: str) -> None:
        self.ways.turn(f"{name} → broker", "mute")

    def end_unheard(self, name: str) -> None:
        self.kill(name)
        self.open_way(f"{name} → broker")
        self.start(name)

    def fill(self, name: str) -> None:
        self.disks[name].fill()

    def empty(self, name: str) -> None:
        self.disks[name].empty()

    def make_read_only(self, name: str) -> None:
        self._restart_around(name, self.disks[name].make_read_only)

    def make_writable(self, name: str) -> None:
        self._restart_around(name, self.disks[name].make_writable)

    def _restart_around(self, name: str, change: Callable[[], None]) -> None:
        # A file system with files open for writing does not become read-only.
        user = name if name in self.found.parts else f"probe {name}"
        self.kill(user)
        change()
        self.start(user)


def _turn(state: WayState) -> Callable[[Injector, str], None]:
    return lambda injector, way: injector.ways.turn(way, state)


_BEGIN: Mapping[str, Callable[[Injector, str], None]] = {
    "kill": Injector.kill,
    "stop": Injector.stop,
    "pause": Injector.pause,
    "kill twice": Injector.restart,
    "cut": _turn("cut"),
    "delay": _turn("delay"),
    "stall": _turn("stall"),
    "half-open": _turn("half-open"),
    "amnesia": Injector.lose_memory,
    "disk full": Injector.fill,
    "read-only": Injector.make_read_only,
    "outage": Injector.pause,
    "unheard": Injector.mute,
    "no archive": Injector.kill,
}
_MEND: Mapping[str, Callable[[Injector, str], None]] = {
    **dict.fromkeys(("kill", "stop", "amnesia", "no archive"), Injector.start),
    **dict.fromkeys(("pause", "outage"), Injector.resume),
    "kill twice": Injector.restart,
    **dict.fromkeys(("cut", "delay", "stall", "half-open"), Injector.open_way),
    "disk full": Injector.empty,
    "read-only": Injector.make_writable,
    "unheard": Injector.end_unheard,
}


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
        drain(found, injector.restart_ended)
        result = finish(found)
        tracebacks = [f"a traceback in the log of {name}" for name in found.tracebacks()]
        return Outcome(result, injector.ended, [*result.differences, *tracebacks])


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


def finish(found: System) -> Balance:
    """Wait until InfluxDB has everything, end the collector, and compare."""
    servers.wait_until(lambda: found.lag_rows() == 0, "the exporter has written everything", RECOVERY_LIMIT_S)
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
