"""Costs and properties of endpoints: addresses, each of the PID with the longest prefix (RFC 7285 §11.4, §11.5)."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collector.alto import alto_protocol as alto
from collector.alto import cost_maps, network_map, property_maps
from collector.alto.alto_protocol import tag_of, vtag
from collector.alto.cost_maps import nested
from collector.alto.network_map import Address
from collector.alto.request_fields import Fields
from collector.alto.view import Pair, View
from collector.api.api_requests import ApiError

PAIRS_MAX = 250_000
PID_PROPERTY = f"{network_map.RESOURCE}.pid"
# RFC 7285 §11.4.1.6: clients of this service expect strings.
PROPERTY_TYPES: tuple[str, ...] = (PID_PROPERTY, *property_maps.TEXTS)

_KINDS: Mapping[str, type[Address]] = {"ipv4": ipaddress.IPv4Address, "ipv6": ipaddress.IPv6Address}


def read(text: str, field: str) -> Address:
    """Read a TypedEndpointAddr, such as ipv4:192.0.2.1. Raises AltoError."""
    kind, _, address = text.partition(":")
    try:
        return _KINDS[kind](address)
    except (KeyError, ValueError):
        raise alto.invalid(field, text) from None


def write(address: str) -> str:
    """A client's TypedEndpointAddr; an IPv4 address is written as such also where it came through an IPv6 socket."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return f"{network_map.FAMILIES[found.version]}:{found}"


def cost(view: View, resource: str, asked: Fields, requester: str) -> dict[str, Any]:
    """The costs that a ReqEndpointCostMap asks for: those between the PIDs. Raises AltoError, ApiError."""
    query = cost_maps.read_query(asked)
    pids = pids_of(view, endpoint_pairs(asked, requester))
    costs = query.costs(view, dict.fromkeys(pair for pair in pids.values() if pair[0] != pair[1]))
    rows = nested({ends: costs[pair] for ends, pair in pids.items() if pair in costs})
    tag = tag_of([query.key, rows])
    return {"meta": {"vtag": vtag(resource, tag), **query.meta(view)}, "endpoint-cost-map": rows}


def endpoint_pairs(asked: Fields, requester: str) -> list[Pair]:
    """The pairs of endpoints that a request names, as it writes them; a missing end is the requester.

    Besides `endpoints`, `endpoint-flows` is understood: several such filters, as some clients of path vectors send.
    """
    flows = "endpoint-flows" in asked and "endpoints" not in asked
    filters = asked.objects("endpoint-flows") if flows else [asked.object("endpoints")]
    ends = [(_texts(one, "srcs"), _texts(one, "dsts")) for one in filters]
    for one, (sources, destinations) in zip(filters, ends, strict=True):
        if not sources and not destinations:
            raise alto.invalid(one.path)  # RFC 7285 §11.5.1.3: not both empty
    if sum(max(1, len(sources)) * max(1, len(destinations)) for sources, destinations in ends) > PAIRS_MAX:
        raise ApiError(413, f"at most {PAIRS_MAX} pairs of endpoints may be asked for at once")
    return list(dict.fromkeys(_products(ends, requester)))


def _texts(asked: Fields, end: str) -> list[str]:
    texts = asked.texts(end)
    for text in texts:
        read(text, asked.name(end))
    return texts


def _products(ends: Sequence[tuple[list[str], list[str]]], requester: str) -> Iterator[Pair]:
    for sources, destinations in ends:
        yield from itertools.product(sources or [requester], destinations or [requester])


def pids_of(view: View, pairs: Sequence[Pair]) -> dict[Pair, Pair]:
    """Each pair of endpoints with its pair of PIDs."""
    pid = {text: view.network.pid_of(read(text, "endpoints")) for text in {end for pair in pairs for end in pair}}
    return {(src, dst): (pid[src], pid[dst]) for src, dst in pairs}


def properties(view: View, resource: str, asked: Fields) -> dict[str, Any]:
    """The properties that a ReqEndpointProp asks for; properties without a value are left out. Raises AltoError."""
    names, texts = _nonempty(asked, "properties"), _nonempty(asked, "endpoints")
    for name in names:
        if name not in PROPERTY_TYPES:
            raise alto.invalid(asked.name("properties"), name)
    found = {text: _properties(view, read(text, asked.name("endpoints")), names) for text in texts}
    # RFC 7285 §11.4.1.6: the maps whose pid is queried; the site's properties follow from the same map.
    return {
        "meta": {"vtag": vtag(resource, tag_of(found)), "dependent-vtags": [view.network.vtag]},
        "endpoint-properties": found,
    }


def _nonempty(asked: Fields, key: str) -> list[str]:
    asked.require(key)
    texts = asked.texts(key)
    if not texts:
        raise alto.invalid(asked.name(key), texts)
    return texts


def _properties(view: View, address: Address, names: Sequence[str]) -> dict[str, Any]:
    pid = view.network.pid_of(address)
    values = {PID_PROPERTY: pid, **property_maps.site_properties(view, pid)}
    return {name: values[name] for name in names if name in values}
