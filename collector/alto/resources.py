"""The information resources: where each is, what it takes, what it can do, and who answers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from collector.alto import costmap, endpoints, media, networkmap, pathvector, properties
from collector.alto.cost_metrics import COST_TYPES, NUMERICAL, CostType
from collector.alto.costquery import MAX_COST_TYPES
from collector.alto.pathvector import PathVector
from collector.alto.reading import Fields
from collector.alto.view import View

ROOT = "/alto"
PROPERTY_MAP = "property-map"


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """What a request brings: its parameters, none for a GET, and who asks, as a TypedEndpointAddr."""

    asked: Fields
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
# RFC 9275 §7.2.4: of path vectors there are no constraints.
_PATH_CAPABILITIES: Mapping[str, Any] = {
    "cost-type-names": [pathvector.COST_TYPE_NAME],
    "ane-property-names": list(pathvector.ANE_PROPERTIES),
}
_MAPPINGS: Mapping[str, Any] = {"mappings": {domain: list(names) for domain, names in properties.MAPPINGS.items()}}
_NETWORK = (networkmap.RESOURCE,)


def _cost_map(kind: CostType) -> Resource:
    name = f"cost-map-{kind.name}"
    return Resource(
        id=name,
        path=f"/costmap/{kind.mode}/{kind.metric}",
        media=media.COST_MAP,
        answer=lambda view, _: costmap.whole(view, name, kind),
        capabilities={"cost-type-names": [kind.name]},
        uses=_NETWORK,
    )


def _maps() -> Iterator[Resource]:
    yield Resource(
        id=networkmap.RESOURCE,
        path="/networkmap",
        media=media.NETWORK_MAP,
        answer=lambda view, _: view.network.document(),
    )
    yield Resource(
        id="filtered-network-map",
        path="/networkmap/filtered",
        media=media.NETWORK_MAP,
        accepts=media.NETWORK_MAP_FILTER,
        answer=lambda view, question: view.network.filtered(question.asked),
        uses=_NETWORK,
    )
    # One map per type; the ranks of statistics can be asked for by POST.
    yield from (_cost_map(kind) for kind in COST_TYPES.values() if kind.mode == NUMERICAL or ":" not in kind.metric)
    yield Resource(
        id="filtered-cost-map",
        path="/costmap/filtered",
        media=media.COST_MAP,
        accepts=media.COST_MAP_FILTER,
        answer=lambda view, question: costmap.filtered(view, "filtered-cost-map", question.asked),
        capabilities=_COST_CAPABILITIES,
        uses=_NETWORK,
    )


def _endpoint_services() -> Iterator[Resource]:
    yield Resource(
        id="endpoint-cost",  # RFC 7285 §11.5.1.5: it must not say that it uses a map
        path="/endpointcost",
        media=media.ENDPOINT_COST,
        accepts=media.ENDPOINT_COST_PARAMS,
        answer=lambda view, question: endpoints.cost(view, "endpoint-cost", question.asked, question.requester),
        capabilities=_COST_CAPABILITIES,
    )
    yield Resource(
        id="endpoint-property",
        path="/endpointprop",
        media=media.ENDPOINT_PROP,
        accepts=media.ENDPOINT_PROP_PARAMS,
        answer=lambda view, question: endpoints.properties(view, "endpoint-property", question.asked),
        capabilities={"prop-types": list(endpoints.PROPERTY_TYPES)},
    )


def _property_maps() -> Iterator[Resource]:
    yield Resource(
        id=PROPERTY_MAP,
        path="/propmap",
        media=media.PROPERTY_MAP,
        answer=lambda view, _: properties.whole(view, PROPERTY_MAP),
        capabilities=_MAPPINGS,
        uses=_NETWORK,
    )
    yield Resource(
        id="filtered-property-map",
        path="/propmap/filtered",
        media=media.PROPERTY_MAP,
        accepts=media.PROPERTY_MAP_PARAMS,
        answer=lambda view, question: properties.filtered(view, "filtered-property-map", question.asked),
        capabilities=_MAPPINGS,
        uses=_NETWORK,
    )


def _path_vectors() -> Iterator[Resource]:
    yield Resource(
        id="path-vector",
        path="/costmap/pathvector",
        media=media.PATH_VECTOR_COST_MAP,
        accepts=media.COST_MAP_FILTER,
        answer=lambda view, question: pathvector.between_pids(view, "path-vector", question.asked),
        capabilities=_PATH_CAPABILITIES,
        uses=_NETWORK,
    )
    yield Resource(
        id="endpoint-path-vector",
        path="/endpointcost/pathvector",
        media=media.PATH_VECTOR_ENDPOINT_COST,
        accepts=media.ENDPOINT_COST_PARAMS,
        answer=lambda view, question: pathvector.between_endpoints(
            view, "endpoint-path-vector", question.asked, question.requester
        ),
        capabilities=_PATH_CAPABILITIES,
    )


# In the order of their dependence: a map comes after the one that it uses.
RESOURCES: Mapping[str, Resource] = {
    resource.id: resource for part in (_maps, _endpoint_services, _property_maps, _path_vectors) for resource in part()
}
# Whose changes an update stream tells: every one that is a single document.
FOLLOWED: Mapping[str, Resource] = {
    name: resource for name, resource in RESOURCES.items() if not resource.media.startswith("multipart/")
}
