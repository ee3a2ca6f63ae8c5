"""The information resources, each a row of a table, and the directory that lists them (RFC 7285 §9.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from collector.alto import alto_protocol as alto
from collector.alto import cost_maps, endpoints, network_map, path_vector, property_maps
from collector.alto.cost_maps import MAX_COST_TYPES
from collector.alto.cost_metrics import COST_TYPES, NUMERICAL, CostType, described
from collector.alto.path_vector import PathVector
from collector.alto.request_fields import Fields
from collector.alto.view import View
from linkweather.mesh import Mesh
from linkweather.wire.server_sent_events import MEDIA_TYPE

ROOT = "/alto"
PROPERTY_MAP = "property-map"


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """A request: its parameters (none for a GET) and the requester's TypedEndpointAddr."""

    parameters: Fields
    requester: str


Answer = dict[str, Any] | PathVector


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One entry of the directory. `accepts` is the type of the parameters of a POST; None stands for a GET."""

    id: str
    path: str
    media: str
    answer: Callable[[View, ResourceRequest], Answer]
    accepts: str | None = None
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    uses: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        """The HTTP method that asks for it (RFC 7285 §8.3.2)."""
        return "GET" if self.accepts is None else "POST"


_COST_CAPABILITIES: Mapping[str, Any] = {
    "cost-type-names": [kind.name for kind in COST_TYPES.values()],
    "cost-constraints": True,
    "max-cost-types": MAX_COST_TYPES,
    "testable-cost-type-names": [kind.name for kind in COST_TYPES.values()],
}
# RFC 9275 §7.2.4: path vectors take no constraints.
_PATH_CAPABILITIES: Mapping[str, Any] = {
    "cost-type-names": [path_vector.COST_TYPE_NAME],
    "ane-property-names": list(path_vector.ANE_PROPERTIES),
}
_MAPPINGS: Mapping[str, Any] = {"mappings": {domain: list(names) for domain, names in property_maps.MAPPINGS.items()}}
_NETWORK = (network_map.RESOURCE,)


def _cost_map(kind: CostType) -> Resource:
    name = f"cost-map-{kind.name}"
    return Resource(
        id=name,
        path=f"/costmap/{kind.mode}/{kind.metric}",
        media=alto.COST_MAP,
        answer=lambda view, _: cost_maps.whole(view, name, kind),
        capabilities={"cost-type-names": [kind.name]},
        uses=_NETWORK,
    )


def _maps() -> Iterator[Resource]:
    yield Resource(
        id=network_map.RESOURCE,
        path="/networkmap",
        media=alto.NETWORK_MAP,
        answer=lambda view, _: view.network.document(),
    )
    yield Resource(
        id="filtered-network-map",
        path="/networkmap/filtered",
        media=alto.NETWORK_MAP,
        accepts=alto.NETWORK_MAP_FILTER,
        answer=lambda view, request: view.network.filtered(request.parameters),
        uses=_NETWORK,
    )
    # One map per type; ranks of statistics are available by POST.
    yield from (_cost_map(kind) for kind in COST_TYPES.values() if kind.mode == NUMERICAL or ":" not in kind.metric)
    yield Resource(
        id="filtered-cost-map",
        path="/costmap/filtered",
        media=alto.COST_MAP,
        accepts=alto.COST_MAP_FILTER,
        answer=lambda view, request: cost_maps.filtered(view, "filtered-cost-map", request.parameters),
        capabilities=_COST_CAPABILITIES,
        uses=_NETWORK,
    )


def _endpoint_services() -> Iterator[Resource]:
    yield Resource(
        id="endpoint-cost",  # RFC 7285 §11.5.1.5: it must not name a map in `uses`
        path="/endpointcost",
        media=alto.ENDPOINT_COST,
        accepts=alto.ENDPOINT_COST_PARAMS,
        answer=lambda view, request: endpoints.cost(view, "endpoint-cost", request.parameters, request.requester),
        capabilities=_COST_CAPABILITIES,
    )
    yield Resource(
        id="endpoint-property",
        path="/endpointprop",
        media=alto.ENDPOINT_PROP,
        accepts=alto.ENDPOINT_PROP_PARAMS,
        answer=lambda view, request: endpoints.properties(view, "endpoint-property", request.parameters),
        capabilities={"prop-types": list(endpoints.PROPERTY_TYPES)},
    )


def _property_maps() -> Iterator[Resource]:
    yield Resource(
        id=PROPERTY_MAP,
        path="/propmap",
        media=alto.PROPERTY_MAP,
        answer=lambda view, _: property_maps.whole(view, PROPERTY_MAP),
        capabilities=_MAPPINGS,
        uses=_NETWORK,
    )
    yield Resource(
        id="filtered-property-map",
        path="/propmap/filtered",
        media=alto.PROPERTY_MAP,
        accepts=alto.PROPERTY_MAP_PARAMS,
        answer=lambda view, request: property_maps.filtered(view, "filtered-property-map", request.parameters),
        capabilities=_MAPPINGS,
        uses=_NETWORK,
    )


def _path_vectors() -> Iterator[Resource]:
    yield Resource(
        id="path-vector",
        path="/costmap/pathvector",
        media=alto.PATH_VECTOR_COST_MAP,
        accepts=alto.COST_MAP_FILTER,
        answer=lambda view, request: path_vector.between_pids(view, "path-vector", request.parameters),
        capabilities=_PATH_CAPABILITIES,
        uses=_NETWORK,
    )
    yield Resource(
        id="endpoint-path-vector",
        path="/endpointcost/pathvector",
        media=alto.PATH_VECTOR_ENDPOINT_COST,
        accepts=alto.ENDPOINT_COST_PARAMS,
        answer=lambda view, request: path_vector.between_endpoints(
            view, "endpoint-path-vector", request.parameters, request.requester
        ),
        capabilities=_PATH_CAPABILITIES,
    )


# In the order of dependence: a map comes after the one that it uses.
RESOURCES: Mapping[str, Resource] = {
    resource.id: resource for part in (_maps, _endpoint_services, _property_maps, _path_vectors) for resource in part()
}
# The resources whose changes an update stream sends: all that are a single document.
FOLLOWED: Mapping[str, Resource] = {
    name: resource for name, resource in RESOURCES.items() if not resource.media.startswith("multipart/")
}


UPDATES_PATH = "/updates"


def directory(mesh: Mesh, base: str) -> dict[str, Any]:
    """The directory; `base` is the server's URI as the client calls it, without a trailing slash."""
    cost_types = {kind.name: described(kind, mesh) for kind in COST_TYPES.values()}
    cost_types[path_vector.COST_TYPE_NAME] = path_vector.COST_TYPE.document
    return {
        "meta": {"cost-types": cost_types, "default-alto-network-map": network_map.RESOURCE},
        "resources": {
            **{name: _entry(resource, base) for name, resource in RESOURCES.items()},
            "update-stream": _updates(base),
        },
    }


def _entry(resource: Resource, base: str) -> dict[str, Any]:
    optional = {
        "accepts": resource.accepts,
        "capabilities": dict(resource.capabilities),
        "uses": list(resource.uses),
    }
    present = {key: value for key, value in optional.items() if value}
    return {"uri": f"{base}{ROOT}{resource.path}", "media-type": resource.media, **present}


def _updates(base: str) -> dict[str, Any]:
    return {
        "uri": f"{base}{ROOT}{UPDATES_PATH}",
        "media-type": MEDIA_TYPE,
        "accepts": alto.UPDATE_PARAMS,
        "capabilities": {
            "incremental-change-media-types": dict.fromkeys(FOLLOWED, alto.MERGE_PATCH),
            "support-stream-control": True,
            # A published schema of RFC 8895 spells it so, and requires it.
            "supported-stream-control": True,
        },
        "uses": list(FOLLOWED),
    }
