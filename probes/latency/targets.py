"""The peers of a sender: their sessions, where they are now, and whose a reply is. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from linkweather.errors import MessageError
from probes.latency.session import Session
from probes.latency.stamp_packet import StampReply

Socket = TypeVar("Socket")
Address = tuple[str, int]  # of a peer: what is the same in IPv4's and IPv6's socket addresses

_SSIDS = 0xFFFF


@dataclass(frozen=True, slots=True)
class LatencyPeer:
    """A site with a reflector; `address` is an IPv4 or IPv6 address or a name.

    `closed` says why it cannot be reached at all: then nothing is sent, and its rows fail with this reason.
    """

    site: str
    address: str
    port: int
    closed: str | None = None

    @property
    def name(self) -> tuple[str, int]:
        """What is resolved."""
        return self.address, self.port


@dataclass(slots=True, eq=False)
class LatencyTarget(Generic[Socket]):
    """A peer, its session, and how it is reached now; `reason` says why it cannot be, None when it can."""

    peer: LatencyPeer
    session: Session
    route: tuple[Socket, Address] | None = None
    reason: str | None = "unresolved"
    sent: int = 0


class Targets(Generic[Socket]):
    """The targets by peer, by session number and by address."""

    def __init__(self, site: str, rng: random.Random) -> None:
        self._site = site
        self._rng = rng
        self._by_peer: dict[LatencyPeer, LatencyTarget[Socket]] = {}
        self._by_ssid: dict[int, LatencyTarget[Socket]] = {}
        self._by_address: dict[Address, LatencyTarget[Socket]] = {}

    def __iter__(self) -> Iterator[LatencyTarget[Socket]]:
        return iter(list(self._by_peer.values()))

    def __contains__(self, peer: LatencyPeer) -> bool:
        return peer in self._by_peer

    def __getitem__(self, peer: LatencyPeer) -> LatencyTarget[Socket]:
        return self._by_peer[peer]

    def add(self, peer: LatencyPeer, timeout_s: float) -> LatencyTarget[Socket]:
        """Begin a session with a peer."""
        while (ssid := self._rng.randint(1, _SSIDS)) in self._by_ssid:
            pass
        session = Session(self._site, peer.site, ssid=ssid, timeout_s=timeout_s)
        target: LatencyTarget[Socket] = LatencyTarget(peer, session, reason=peer.closed or "unresolved")
        self._by_peer[peer] = self._by_ssid[ssid] = target
        return target

    def remove(self, target: LatencyTarget[Socket]) -> None:
        """End a session; what is still out is given up."""
        target.session.abandon()
        self._unroute(target)
        del self._by_peer[target.peer], self._by_ssid[target.session.ssid]

    def reach(self, target: LatencyTarget[Socket], socket: Socket, address: Address) -> None:
        """Send to this address from now on."""
        self._unroute(target)
        target.route, target.reason = (socket, address), None
        self._by_address[address[:2]] = target

    def at(self, address: Address) -> LatencyTarget[Socket] | None:
        """The target at an address."""
        return self._by_address.get(address[:2])

    def owner(self, reply: StampReply, source: Address) -> LatencyTarget[Socket]:
        """Whose reply this is. Raises MessageError: `stray` for nobody's, or from where we did not send to.

        A reflector that does not know RFC 8972 sends session number zero; then the address tells.
        """
        target = self._by_ssid.get(reply.ssid) if reply.ssid else self.at(source)
        if target is None or target.route is None or target.route[1][:2] != source[:2]:
            raise MessageError("stray")
        return target

    def _unroute(self, target: LatencyTarget[Socket]) -> None:
        if target.route and self.at(target.route[1]) is target:
            del self._by_address[target.route[1][:2]]
