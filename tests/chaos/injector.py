"""Breaks one thing of a running system, mends it, and starts again what ends by itself, as systemd would."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.chaos.mesh_of_processes import STOP_LIMIT_S, System
from tests.chaos.schedule import PlannedFault
from tests.chaos.small_disk import SmallDisk
from tests.chaos.tcp_proxy import Proxies, WayState

RESTART_S = 0.5


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

    def retire(self, name: str) -> None:
        """Kill it for good: nothing starts it again."""
        self.kill(name)
        del self.found.parts[name]

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
