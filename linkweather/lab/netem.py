"""The netem engine: a veth pair per pair of sites, and the kernel's netem on both of its ends."""

from __future__ import annotations

import contextlib
import json
import math
import select
from collections.abc import Mapping, Sequence
from typing import Any

from linkweather.errors import OperatorError
from linkweather.lab.lab_engine import LabAddresses, number_sites
from linkweather.lab.labfile import Behaviour, LabFile, Pair
from linkweather.lab.namespaces import MTU_BYTES, UnavailableError, created, run_in
from linkweather.lab.protocol import ChangeLink, LabEngineName, LabLinkState, LabSiteState

_NO_ROUTERS = "routers need the relay engine"
_PROBE = "qdisc add dev lo root netem delay 1ms 100us loss 1% rate 1000000bit limit 100"


def netem_arguments(behaviour: Behaviour, *, cut: bool) -> str:
    """The qdisc's arguments. netem counts its limit in packets: full ones on the wire, plus those that wait."""
    under_way_s = behaviour.delay_s + behaviour.jitter_s + behaviour.queue_s
    limit = math.ceil(behaviour.rate_bps * under_way_s / 8 / MTU_BYTES) + 1
    jitter = f" {behaviour.jitter_s * 1e6:.0f}us" if behaviour.jitter_s else ""
    loss = 100.0 if cut else behaviour.loss_ratio * 100
    more = f" duplicate {behaviour.duplicate_ratio * 100:.6g}%" if behaviour.duplicate_ratio else ""
    more += f" reorder {behaviour.reorder_ratio * 100:.6g}%" if behaviour.reorder_ratio else ""
    return (
        f"netem delay {behaviour.delay_s * 1e6:.0f}us{jitter} loss {loss:.6g}%{more}"
        f" rate {behaviour.rate_bps:.0f}bit limit {limit}"
    )


def device_of(peer: LabAddresses) -> str:
    """The name of a site's device towards a peer."""
    return f"wan{peer.number}"


def mac_of(owner: LabAddresses, peer: LabAddresses) -> str:
    """The address of `owner`'s device towards `peer`; locally administered."""
    return f"02:77:00:00:{owner.number:02x}:{peer.number:02x}"


def veth_line(own: LabAddresses, peer: LabAddresses, peer_namespace: str) -> str:
    """`ip link` for both ends at once. TCP's segments are not merged: netem would treat 64 KiB as one packet."""
    common = f"mtu {MTU_BYTES} gso_max_segs 1"
    return (
        f"link add {device_of(peer)} address {mac_of(own, peer)} {common} type veth"
        f" peer name {device_of(own)} address {mac_of(peer, own)} {common} netns {peer_namespace}"
    )


def site_lines(own: LabAddresses) -> list[str]:
    """`ip` for a site's own addresses, which are on lo because the site has many devices."""
    return [f"address add {own.v4}/32 dev lo", f"address add {own.v6}/128 dev lo nodad"]


def route_lines(own: LabAddresses, peer: LabAddresses) -> list[str]:
    """`ip` for a site's route to a peer. Neighbours are fixed: ARP would be delayed and lost like a probe."""
    device = device_of(peer)
    neighbour = f"lladdr {mac_of(peer, own)} dev {device} nud permanent"
    return [
        f"link set {device} addrgenmode none",
        f"link set {device} up",
        f"neighbour replace {peer.v4} {neighbour}",
        f"neighbour replace {peer.v6} {neighbour}",
        f"route add {peer.v4}/32 dev {device} src {own.v4}",
        f"route add {peer.v6}/128 dev {device} src {own.v6}",
    ]


class NetemEngine:
    """The running network. `stack` closes its namespaces, and with them the devices."""

    name: LabEngineName = "netem"

    def __init__(self, lab: LabFile, stack: contextlib.ExitStack) -> None:
        if lab.routers:
            raise UnavailableError(_NO_ROUTERS)
        _check_available()
        self._numbered = number_sites(lab.sites)
        self._namespaces = {name: stack.enter_context(created()) for name in lab.sites}
        self._behaviours = dict(lab.behaviours())
        self._cut = dict.fromkeys(self._behaviours, False)
        self.sites: Mapping[str, LabSiteState] = {
            name: LabSiteState(address=str(its.v4), address6=str(its.v6), namespace=self._namespaces[name].path)
            for name, its in self._numbered.items()
        }
        self.routers: Mapping[str, str] = {}
        joined = {tuple(sorted(pair)) for pair in self._behaviours}
        for name, its in self._numbered.items():
            run_in(self._namespaces[name], "ip", site_lines(its))
        for a, b in sorted(joined):
            self._join(a, b)

    def wait(self, files: Sequence[int]) -> list[int]:
        """Wait for the files; the kernel does the work."""
        return select.select(files, (), ())[0]

    def change(self, pair: Pair, change: ChangeLink) -> None:
        """Replace one link's qdisc parameters, in place: packets under way stay."""
        if change.via:
            raise OperatorError(_NO_ROUTERS)
        behaviour = change.applied(self._behaviours[pair])
        cut = self._cut[pair] if change.cut is None else change.cut
        self._shape(pair, "change", behaviour, cut=cut)
        self._behaviours[pair], self._cut[pair] = behaviour, cut

    def links(self) -> tuple[LabLinkState, ...]:
        """Every link as it is now; netem counts its drops without their reason."""
        statistics = {name: self._statistics(name) for name in self._namespaces}
        return tuple(
            LabLinkState(src=src, dst=dst, cut=self._cut[src, dst], **behaviour.model_dump(), **counted)
            for (src, dst), behaviour in self._behaviours.items()
            for counted in [counters(statistics[src], device_of(self._numbered[dst]))]
        )

    def strays(self) -> dict[str, int]:
        """None: a packet without a route never leaves its site."""
        return {}

    def _join(self, a: str, b: str) -> None:
        run_in(self._namespaces[a], "ip", [veth_line(self._numbered[a], self._numbered[b], self._namespaces[b].path)])
        for src, dst in ((a, b), (b, a)):
            run_in(self._namespaces[src], "ip", route_lines(self._numbered[src], self._numbered[dst]))
            # A pair with a link in one direction only is cut in the other.
            behaviour = self._behaviours.get((src, dst), Behaviour(delay_s=0))
            self._shape((src, dst), "add", behaviour, cut=(src, dst) not in self._behaviours)

    def _shape(self, pair: Pair, verb: str, behaviour: Behaviour, *, cut: bool) -> None:
        device = device_of(self._numbered[pair[1]])
        arguments = netem_arguments(behaviour, cut=cut)
        run_in(self._namespaces[pair[0]], "tc", [f"qdisc {verb} dev {device} root {arguments}"])

    def _statistics(self, site: str) -> list[dict[str, Any]]:
        qdiscs: list[dict[str, Any]] = json.loads(run_in(self._namespaces[site], "tc", ["qdisc show"], "-s", "-j"))
        return qdiscs


def counters(qdiscs: Sequence[Mapping[str, Any]], device: str) -> dict[str, Any]:
    """The forwarded and dropped counts of a device, out of `tc -s -j qdisc show`."""
    own = next(qdisc for qdisc in qdiscs if qdisc.get("dev") == device)
    return {
        "forwarded_packets": own["packets"],
        "forwarded_bytes": own["bytes"],
        "dropped": {"netem": own["drops"]},
    }


def _check_available() -> None:
    with created() as throw_away:
        run_in(throw_away, "tc", [_PROBE])
