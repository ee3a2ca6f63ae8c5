"""Entity property maps (RFC 9240): the properties of PIDs, addresses and prefixes.

Names: the domain of PIDs belongs to the network map (`default-network-map.pid`), so does the property that gives an
address's PID; the other properties are the property map's own (`.priv:linkweather-region`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from collector.alto import alto_protocol as alto
from collector.alto import network_map
from collector.alto.alto_protocol import tag_of, vtag
from collector.alto.network_map import Network
from collector.alto.request_fields import Fields
from collector.alto.view import View
from collector.api.api_requests import ApiError
from linkweather.models.state import CapacityAnswer

_PREFIX = "priv:linkweather-"
# name → the field of the mesh's site.
TEXTS: Mapping[str, str] = {
    f"{_PREFIX}compute-id": "compute_id",
    f"{_PREFIX}operator": "operator",
    f"{_PREFIX}region": "region",
}
NUMBERS: Mapping[str, str] = {
    f"{_PREFIX}latitude": "latitude",
    f"{_PREFIX}longitude": "longitude",
    f"{_PREFIX}egress-usd-gb": "egress_usd_per_gb",
}
CAPACITY = f"{_PREFIX}capacity"
NAMES: tuple[str, ...] = (*TEXTS, *NUMBERS, CAPACITY)


# The published fields of a capacity report; not its age, which would change the version tag every moment.
_DEVICE_FIELDS = {"type", "total", "free", "queue_s", "queued_device_hours", "usd_per_device_hour", "at"}


def site_properties(view: View, pid: str) -> dict[str, Any]:
    """The properties of a PID under the names for private use; none of the default PID, which is no site."""
    site = view.mesh.sites.get(pid)
    if site is None:
        return {}
    fields = {name: getattr(site, field) for name, field in {**TEXTS, **NUMBERS}.items()}
    fields[CAPACITY] = [
        _devices(answer) for answer in view.capacities if (answer.site, answer.state) == (pid, "fresh")
    ] or None
    return {name: value for name, value in fields.items() if value is not None}


def _devices(answer: CapacityAnswer) -> dict[str, Any]:
    return answer.model_dump(mode="json", include=_DEVICE_FIELDS, exclude_none=True)


PID_DOMAIN = f"{network_map.RESOURCE}.pid"
_OWN: tuple[str, ...] = tuple(f".{name}" for name in NAMES)
_KINDS: Mapping[str, Any] = {"ipv4": ipaddress.IPv4Network, "ipv6": ipaddress.IPv6Network}
# RFC 9240 §7.4: domain → the properties of its entities.
MAPPINGS: Mapping[str, tuple[str, ...]] = {
    PID_DOMAIN: _OWN,
    **dict.fromkeys(_KINDS, (PID_DOMAIN, *_OWN)),
}
PROPERTIES: tuple[str, ...] = (PID_DOMAIN, *_OWN)
ENTITIES_MAX = 10_000

Entities = dict[str, dict[str, Any]]


def whole(view: View, resource: str) -> dict[str, Any]:
    """Every entity with properties: the PIDs, and the prefixes of the network map."""
    entities = {f"{PID_DOMAIN}:{pid}": _of_pid(view, pid) for pid in view.network.pids}
    entities |= {_name(network): _of_prefix(view, network) for network in view.network.networks}
    return _document(view, resource, {entity: values for entity, values in entities.items() if values})


def filtered(view: View, resource: str, asked: Fields) -> dict[str, Any]:
    """The part that a ReqFilteredPropertyMap asks for; empty lists ask for everything. Raises AltoError, ApiError."""
    asked.require("entities")
    names, properties = asked.texts("entities"), _asked_properties(asked)
    if len(names) > ENTITIES_MAX:
        raise ApiError(413, f"at most {ENTITIES_MAX} entities may be asked for at once")
    entities: Entities = whole(view, resource)["property-map"] if not names else {}
    for name in names:
        entities |= _entity(view, name, asked.name("entities"))
    chosen = {
        entity: {name: value for name, value in values.items() if name in properties}
        for entity, values in entities.items()
    }
    return _document(view, resource, {entity: values for entity, values in chosen.items() if values})


def _asked_properties(asked: Fields) -> Sequence[str]:
    names = asked.texts("properties")
    for name in names:
        if name not in PROPERTIES:
            raise alto.invalid(asked.name("properties"), name)
    return names or PROPERTIES


def _entity(view: View, name: str, field: str) -> Entities:
    domain, _, identifier = name.partition(":")
    if domain == PID_DOMAIN:
        return {name: _of_pid(view, identifier)}
    try:
        network: Network = _KINDS[domain](identifier)
    except (KeyError, ValueError):
        raise alto.invalid(field, name) from None
    return dict(_inherited(view, name, network))


def _inherited(view: View, name: str, network: Network) -> Iterator[tuple[str, dict[str, Any]]]:
    """RFC 9240 §8.6: what the entity inherits from the longest prefix around it, and the prefixes within it."""
    yield name, _of_prefix(view, view.network.network_of(network))
    for inner in view.network.within(network):
        yield _name(inner), _of_prefix(view, inner)


def _of_pid(view: View, pid: str) -> dict[str, Any]:
    return {f".{name}": value for name, value in site_properties(view, pid).items()}


def _of_prefix(view: View, network: Network) -> dict[str, Any]:
    pid = view.network.owner(network)
    return {PID_DOMAIN: pid, **_of_pid(view, pid)}


def _name(network: Network) -> str:
    return f"{network_map.FAMILIES[network.version]}:{network}"


def _document(view: View, resource: str, entities: Entities) -> dict[str, Any]:
    tag = tag_of([view.network.tag, entities])
    return {
        "meta": {"vtag": vtag(resource, tag), "dependent-vtags": [view.network.vtag]},
        "property-map": entities,
    }
