"""The network map (RFC 7285 §11.2.1): which addresses belong to which PID. PIDs are the sites."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collector.alto.alto_protocol import tag_of, vtag
from collector.alto.request_fields import Fields
from linkweather.mesh import Mesh, Site

RESOURCE = "default-network-map"
# RFC 7285 §10.1 allows an underscore in a PID's name; site ids have none.
DEFAULT_PID = "_default"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
FAMILIES: Mapping[int, str] = {4: "ipv4", 6: "ipv6"}
_EVERYTHING: tuple[Network, ...] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


class NetworkMap:
    """The PIDs of a mesh and their prefixes, `networks` in order; complete, without overlap (RFC 7285 §11.2.2).

    A site has its prefixes; where it has none of its address's family, also its address. What two sites have is the
    first one's. What no site has is the default PID's.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._owner = _owners(mesh)
        self.pids: dict[str, dict[str, list[str]]] = {pid: {} for pid in (*mesh.sites, DEFAULT_PID)}
        self.networks: tuple[Network, ...] = tuple(sorted(self._owner, key=_order))
        self._keys = [_order(network) for network in self.networks]
        for network in self.networks:
            self.pids[self._owner[network]].setdefault(FAMILIES[network.version], []).append(str(network))
        self.tag = tag_of(self.pids)
        self._tables = _tables(self._owner)

    @property
    def vtag(self) -> dict[str, str]:
        """The version tag, the same for every filtered view of this map."""
        return vtag(RESOURCE, self.tag)

    def pid_of(self, address: Address) -> str:
        """The PID of the longest prefix that holds the address."""
        network = self.network_of(ipaddress.ip_network(address))
        return self._owner[network]

    def network_of(self, inner: Network) -> Network:
        """The longest prefix of the map that holds this one."""
        number, bits = int(inner.network_address), inner.max_prefixlen
        around = (
            networks.get(number >> (bits - length))
            for length, networks in self._tables[inner.version]
            if length <= inner.prefixlen
        )
        return next(network for network in around if network is not None)  # the map is complete

    def owner(self, network: Network) -> str:
        """The PID of a prefix of the map."""
        return self._owner[network]

    def within(self, outer: Network) -> Sequence[Network]:
        """The prefixes of the map that this one holds, itself not among them."""
        first = bisect_right(self._keys, _order(outer))
        last = bisect_right(self._keys, (outer.version, int(outer.broadcast_address), outer.max_prefixlen))
        return self.networks[first:last]

    def document(self, pids: Iterable[str] | None = None, families: Iterable[str] | None = None) -> dict[str, Any]:
        """The map, or the part with these PIDs and address types; unknown ones are ignored."""
        chosen = self.pids if pids is None else {pid: self.pids[pid] for pid in pids if pid in self.pids}
        kept = set(FAMILIES.values() if families is None else families)
        groups = {
            pid: {family: list(prefixes) for family, prefixes in group.items() if family in kept}
            for pid, group in chosen.items()
        }
        return {"meta": {"vtag": self.vtag}, "network-map": groups}

    def filtered(self, asked: Fields) -> dict[str, Any]:
        """The part that a ReqFilteredNetworkMap asks for (RFC 7285 §11.3.1.3): an empty list asks for everything."""
        asked.require("pids")
        return self.document(asked.texts("pids") or None, asked.texts("address-types") or None)


def _owners(mesh: Mesh) -> dict[Network, str]:
    owners: dict[Network, str] = {}
    for pid, site in mesh.sites.items():
        for network in _networks(site):
            owners.setdefault(network, pid)
    for network in _EVERYTHING:
        owners.setdefault(network, DEFAULT_PID)
    return owners


def _networks(site: Site) -> list[Network]:
    networks: list[Network] = [ipaddress.ip_network(prefix) for prefix in site.prefixes]
    try:
        own = ipaddress.ip_network(site.address)
    except ValueError:  # a host name
        return networks
    if all(network.version != own.version for network in networks):
        networks.append(own)
    return networks


def _order(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def _tables(networks: Iterable[Network]) -> dict[int, list[tuple[int, dict[int, Network]]]]:
    """Per family the prefixes by their length, the longest first, and by their leading bits."""
    tables: dict[int, dict[int, dict[int, Network]]] = {version: {} for version in FAMILIES}
    for network in networks:
        bits = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
        tables[network.version].setdefault(network.prefixlen, {})[bits] = network
    return {version: sorted(table.items(), reverse=True) for version, table in tables.items()}
