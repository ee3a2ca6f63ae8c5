"""The peers of an engine: their sessions, where they are now, and whose a reply is. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from socket import AddressFamily
from typing import NamedTuple

from linkweather import settings
from linkweather.errors import MessageError, OperatorError
from linkweather.mesh import Mesh, Settings
from probes.latency.prober import AbsentProber, Address, Method
from probes.latency.session import Session
from probes.latency.stamp_packet import StampReply

_SSIDS = 0xFFFF


class Route(NamedTuple):
    """A destination as it is resolved now."""

    family: AddressFamily
    address: Address


def choose(choices: Sequence[Route], present: Route | None, *, silent: bool = False) -> Route:
    """The route to take of those that a name has, at least one: the present one, as long as it is there and replies.

    After the last choice comes the first again, so that none is given up for good.
    """
    if present not in choices:
        return choices[0]
    return choices[(choices.index(present) + silent) % len(choices)]


class Closed(NamedTuple):
    """Why a peer is not probed at all: a reason to group by, and a sentence for people."""

    reason: str
    sentence: str | None = None


@dataclass(frozen=True, slots=True)
class LatencyPeer:
    """A site to probe; `address` is an IPv4 or IPv6 address or a name, `options` are the method's own.

    With `closed` nothing is sent, and its rows fail with this reason. `host` is the name of an address that was
    resolved before.
    """

    site: str
    address: str
    port: int
    closed: Closed | None = None
    options: Settings | None = None
    host: str | None = None

    @classmethod
    def of(cls, mesh: Mesh, name: str, method: Method) -> LatencyPeer:
        """A site as the method probes it, or closed, with the reason why it is not probed."""
        site, prober = mesh.sites[name], method.prober
        closed = partial(cls, name, site.address, site.port)
        if site.nat:
            # What answers at its address is its NAT: a figure of that would not be one of the link.
            return closed(Closed("behind_nat"))
        if isinstance(prober, AbsentProber):
            package = mesh.packages.get(method.name)
            hint = f"; install the package {package} at this site" if package else ""
            return closed(Closed("method_missing", f"{prober.sentence}{hint}"))
        try:
            # A method that stands in for another knows nothing of the other's options.
            given = site.options if site.method == method.name else {}
            options = settings.validate(given, prober.options, "")
            return cls(name, *prober.destination(site, options), options=options)
        except OperatorError as error:
            return closed(Closed("bad_options", f"sites.{name}.options.{error}"))
        except Exception as error:  # noqa: BLE001 - a prober may be anybody's: its fault costs its own peer
            return closed(Closed("prober_error", f"{type(error).__name__}: {error}"))

    @property
    def name(self) -> tuple[str, int]:
        """What is resolved."""
        return self.address, self.port


@dataclass(slots=True, eq=False)
class LatencyTarget:
    """A peer, its session, and how it is reached now; `reason` says why it cannot be, None when it can.

    `choices` are all routes that its name has; `since` is when the present one was taken.
    Until `held_until` it is not probed, as it restarts.
    """

    peer: LatencyPeer
    session: Session
    route: Route | None = None
    choices: Sequence[Route] = ()
    since: float = 0.0
    held_until: float = 0.0
    reason: str | None = "unresolved"
    sent: int = 0

    @property
    def probed(self) -> str | None:
        """The address that a name stands for now; None for a peer whose address is no name."""
        host = self.peer.host or self.peer.address
        in_figures = ":" in host or not any(letter.isalpha() for letter in host)
        return self.route.address[0] if self.route and not in_figures else None


class Targets:
    """The targets by peer, by session number and by address."""

    def __init__(self, site: str, method: str, rng: random.Random) -> None:
        self._site = site
        self._method = method
        self._rng = rng
        self._by_peer: dict[LatencyPeer, LatencyTarget] = {}
        self._by_ssid: dict[int, LatencyTarget] = {}
        self._by_address: dict[Address, LatencyTarget] = {}

    def __iter__(self) -> Iterator[LatencyTarget]:
        return iter(list(self._by_peer.values()))

    def __contains__(self, peer: LatencyPeer) -> bool:
        return peer in self._by_peer

    def __getitem__(self, peer: LatencyPeer) -> LatencyTarget:
        return self._by_peer[peer]

    def add(self, peer: LatencyPeer, timeout_s: float) -> LatencyTarget:
        """Begin a session with a peer."""
        while (ssid := self._rng.randint(1, _SSIDS)) in self._by_ssid:
            pass
        session = Session(self._site, peer.site, self._method, ssid=ssid, timeout_s=timeout_s)
        target = LatencyTarget(peer, session, reason=peer.closed.reason if peer.closed else "unresolved")
        self._by_peer[peer] = self._by_ssid[ssid] = target
        return target

    def remove(self, target: LatencyTarget) -> None:
        """End a session; what is still out is given up."""
        target.session.abandon()
        self._unroute(target)
        del self._by_peer[target.peer], self._by_ssid[target.session.ssid]

    def reach(self, target: LatencyTarget, route: Route, now: float = 0.0) -> None:
        """Send this way from now on."""
        if route == target.route:
            return
        self._unroute(target)
        target.route, target.reason, target.since = route, None, now
        self._by_address[route.address[:2]] = target

    def try_next(self, target: LatencyTarget, now: float) -> None:
        """Nothing came from a target's present address: send to the next one that its name has."""
        self.reach(target, choose(target.choices, target.route, silent=True), now)

    def resolved(
        self, name: tuple[str, int], choices: Sequence[Route], families: AbstractSet[AddressFamily], now: float
    ) -> None:
        """A name has these routes, none where it does not resolve; we can send over these families."""
        usable = [choice for choice in dict.fromkeys(choices) if choice.family in families]
        for target in self:
            # A closed peer may have the address of its NAT in common with one that is not.
            if target.peer.name != name or target.peer.closed is not None:
                continue
            if usable:
                target.choices = usable
                self.reach(target, choose(usable, target.route), now)
            elif target.route is None:  # a name that fails later keeps its last address
                target.reason = "no_local_address" if choices else "unresolved"

    def at(self, address: Address) -> LatencyTarget | None:
        """The target at an address."""
        return self._by_address.get(address[:2])

    def owner(self, reply: StampReply, source: Address) -> LatencyTarget:
        """Whose reply this is. Raises MessageError: `stray` for one of no session, or from where we did not send to.

        A reflector that does not know RFC 8972 sends session number zero; then the address decides.
        """
        target = self._by_ssid.get(reply.ssid) if reply.ssid else self.at(source)
        if target is None or target.route is None or target.route.address[:2] != source[:2]:
            raise MessageError("stray")
        return target

    def _unroute(self, target: LatencyTarget) -> None:
        if target.route and self.at(target.route.address) is target:
            del self._by_address[target.route.address[:2]]
