"""The relay engine: a TUN device per site, and this process carries every packet between them.

The kernel's netem does the same with less CPU, but not every kernel has it. Times are those of `time.monotonic`. The
process sleeps in `select`, whose timeout has microseconds (that of `epoll` has milliseconds), and polls through the
last moment before a packet is due.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from random import Random
from time import monotonic

from linkweather.errors import OperatorError
from linkweather.lab import routers
from linkweather.lab.emulated_link import EmulatedLink
from linkweather.lab.lab_engine import PREFIX6_BITS, PREFIX_BITS, ROUTERS, LabAddresses, number_routers, number_sites
from linkweather.lab.labfile import LabFile, LabRouter, Pair, no_router
from linkweather.lab.namespaces import MTU_BYTES, Namespace, created, open_tun, run_in
from linkweather.lab.protocol import ChangeLink, LabEngineName, LabLinkState, LabSiteState

_DEVICE = "wan"
# A processor wakes later the longer it slept: on an idle virtual machine 0.05 ms late after 1 ms and 0.12 ms
# after 20 ms. So we wake early by more than that, and poll.
_EARLY_S = 60e-6
_EARLY_RATIO = 0.01
_EARLIEST_S = 250e-6
# Packets taken from one site before the other sites, and due packets, have their turn.
_BATCH_PACKETS = 16
_PRIORITY = 10
_DUE = tuple[float, int, int, bytes]


class RelayEngine:
    """The running relay. `stack` closes its devices and namespaces."""

    name: LabEngineName = "relay"

    def __init__(self, lab: LabFile, seed: int, stack: contextlib.ExitStack) -> None:
        numbered = number_sites(lab.sites)
        namespaces = {name: stack.enter_context(created()) for name in lab.sites}
        devices = {name: _device(namespaces[name], its, stack) for name, its in numbered.items()}
        self.routers: Mapping[str, str] = {name: str(its.v4) for name, its in number_routers(lab.routers).items()}
        self._routers = _routers(lab.routers)
        self.sites: Mapping[str, LabSiteState] = {
            name: LabSiteState(address=str(its.v4), address6=str(its.v6), namespace=namespaces[name].path)
            for name, its in numbered.items()
        }
        self._links = {
            pair: EmulatedLink(behaviour, Random(f"{seed} {pair[0]} {pair[1]}"))  # noqa: S311  # emulation, not secrecy
            for pair, behaviour in lab.behaviours()
        }
        for link in self._links.values():
            link.routers = self._on_the_way(link.behaviour.via)
        self._routes = {devices[name]: _routes(name, numbered, devices, self._links) for name in lab.sites}
        self._due: list[_DUE] = []
        self._serial = 0
        self._strays = {"no_link": 0, "unknown_destination": 0, "not_accepted": 0}
        self._destinations = {packed for its in numbered.values() for packed in (its.v4.packed, its.v6.packed)}
        _run_promptly()

    def wait(self, files: Sequence[int]) -> list[int]:
        """Carry packets until some of the files are readable."""
        routes = self._routes
        watched = [*routes, *files]
        while True:
            readable = select.select(watched, (), (), self._deliver())[0]
            others = []
            for file in readable:
                if file in routes:
                    self._take(file)
                else:
                    others.append(file)
            if others:
                return others

    def change(self, pair: Pair, change: ChangeLink) -> None:
        """Change one link from the next packet on. Raises OperatorError, also for an unknown router."""
        link = self._links[pair]
        behaviour = change.applied(link.behaviour, back=pair[0] != change.src)
        link.routers = self._on_the_way(behaviour.via)
        link.behaviour = behaviour
        if change.cut is not None:
            link.cut = change.cut

    def links(self) -> tuple[LabLinkState, ...]:
        """Every link as it is now."""
        return tuple(
            LabLinkState(
                src=src,
                dst=dst,
                cut=link.cut,
                forwarded_packets=link.counters.forwarded_packets,
                forwarded_bytes=link.counters.forwarded_bytes,
                duplicated_packets=link.counters.duplicated_packets,
                reordered_packets=link.counters.reordered_packets,
                dropped={str(reason): count for reason, count in link.counters.dropped.items()},
                **link.behaviour.model_dump(),
            )
            for (src, dst), link in self._links.items()
        )

    def strays(self) -> dict[str, int]:
        """Packets that no link took, or that no device accepted."""
        return dict(self._strays)

    def _deliver(self) -> float | None:
        """Deliver due packets; return how long to sleep, None while no packet is under way."""
        due = self._due
        while due:
            wait_s = due[0][0] - monotonic()
            if wait_s > 0:
                return max(0.0, wait_s - min(_EARLY_S + _EARLY_RATIO * wait_s, _EARLIEST_S))
            _, _, file, packet = heappop(due)
            try:
                os.write(file, packet)
            except OSError:
                self._strays["not_accepted"] += 1  # the site has taken its device down
        return None

    def _take(self, file: int) -> None:
        routes = self._routes[file]
        for _ in range(_BATCH_PACKETS):
            try:
                packet = os.read(file, MTU_BYTES)
            except BlockingIOError:
                return
            destination = packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]
            route = routes.get(destination)
            if route is None:
                self._strays["no_link" if destination in self._destinations else "unknown_destination"] += 1
                continue
            admit, out, link, _ = route
            arrival = admit(len(packet), monotonic())
            if isinstance(arrival, str):
                continue
            if link.routers:
                self._pass_routers(packet, arrival, file, route)
            else:
                self._arrive(link, arrival, out, packet)

    def _arrive(self, link: EmulatedLink, at: float, file: int, packet: bytes) -> None:
        for _ in range(link.copies()):
            self._push(at, file, packet)

    def _push(self, at: float, file: int, packet: bytes) -> None:
        self._serial += 1
        heappush(self._due, (at, self._serial, file, packet))

    def _pass_routers(self, packet: bytes, arrival: float, file: int, route: _Route) -> None:
        _, out, link, back = route
        passed = routers.through(packet, routers.choose(packet, link.routers))
        if isinstance(passed, bytes):
            self._arrive(link, arrival, out, passed)
            return
        link.stop(len(packet))
        if passed.answer is None or back is None or back.loses():
            return
        # The routers divide the link evenly, and the answer travels as far as the packet did.
        share = passed.place / (len(link.routers) + 1)
        at = arrival - link.behaviour.delay_s * (1 - share) + back.behaviour.delay_s * share
        self._push(at, file, passed.answer)

    def _on_the_way(self, via: Sequence[str]) -> tuple[tuple[routers.EmulatedRouter, ...], ...]:
        for name in (name for choice in via for name in choice.split("/")):
            if name not in self._routers:
                raise OperatorError(no_router(name, self.routers))
        return tuple(tuple(self._routers[name] for name in choice.split("/")) for choice in via)


# The link that takes a packet, the device where it comes out, and the link that takes an answer back.
_Route = tuple[Callable[[int, float], float | str], int, EmulatedLink, EmulatedLink | None]


def _routes(
    src: str, numbered: Mapping[str, LabAddresses], devices: Mapping[str, int], links: Mapping[Pair, EmulatedLink]
) -> dict[bytes, _Route]:
    """Packed destination address → the link that takes a packet from `src`, and the device where it comes out."""
    return {
        packed: (links[src, dst].admit, devices[dst], links[src, dst], links.get((dst, src)))
        for dst, its in numbered.items()
        if (src, dst) in links
        for packed in (its.v4.packed, its.v6.packed)
    }


def _routers(described: Mapping[str, LabRouter]) -> dict[str, routers.EmulatedRouter]:
    return {
        name: routers.EmulatedRouter(
            its.v4.packed, its.v6.packed, described[name].mtu_bytes, described[name].silent, described[name].labels
        )
        for name, its in number_routers(described).items()
    }


def _device(namespace: Namespace, its: LabAddresses, stack: contextlib.ExitStack) -> int:
    file = open_tun(namespace, _DEVICE)
    stack.callback(os.close, file)
    run_in(
        namespace,
        "ip",
        [
            # Without a link-local address the kernel sends no router solicitations into the lab.
            f"link set {_DEVICE} mtu {MTU_BYTES} txqueuelen 1000 addrgenmode none",
            f"link set {_DEVICE} up",
            f"address add {its.v4}/{PREFIX_BITS} dev {_DEVICE}",
            f"address add {its.v6}/{PREFIX6_BITS} dev {_DEVICE} nodad",
            # The routers' answers come from there.
            f"route add 10.{ROUTERS}.0.0/{PREFIX_BITS} dev {_DEVICE}",
            f"route add fd{ROUTERS}::/{PREFIX6_BITS} dev {_DEVICE}",
        ],
    )
    return file


def _run_promptly() -> None:
    """Keep other processes, and the garbage collector, from delaying packets."""
    gc.collect()
    gc.freeze()
    gc.disable()  # the forwarding loop makes no cycles
    with contextlib.suppress(OSError):  # some containers refuse it; delays then grow under load
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(_PRIORITY))
