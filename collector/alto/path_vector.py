"""Path vectors (RFC 9275): the active routes between sites, as the links that they take.

Each abstract network element is one link; a path through a relay has two, and paths that share a link share its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from collector.alto import alto_protocol as alto
from collector.alto import cost_maps, endpoints
from collector.alto.alto_protocol import tag_of, vtag
from collector.alto.cost_metrics import ANE_PATH, ARRAY, COST_TYPES, NUMERICAL, CostType
from collector.alto.request_fields import Fields
from collector.alto.view import Pair, View
from collector.api.api_requests import ApiError
from linkweather.models.routes import RouteAnswer

COST_TYPE = CostType(ARRAY, ANE_PATH)
COST_TYPE_NAME = "path-vector"
PAIRS_MAX = 10_000
NAME_MAX = 64

Property = Callable[[View, Pair], float | None]


def _cost(metric: str, factor: int = 1) -> Property:
    def value(view: View, link: Pair) -> float | None:
        cost = view.costs(COST_TYPES[NUMERICAL, metric]).get(link)
        return None if cost is None else cost * factor

    return value


ANE_PROPERTIES: Mapping[str, Property] = {
    # RFC 9275 §6.4.1, in bits per second: what a transfer can expect; nothing is reserved.
    "max-reservable-bandwidth": _cost("tput", 8),
    "priv:linkweather-delay-rt": _cost("delay-rt"),
    "priv:linkweather-lossrate": _cost("lossrate"),
}


@dataclass(frozen=True, slots=True)
class PathVector:
    """The two parts of a response: the costs, of the media type `media`, and the properties of their elements."""

    media: str
    part: str
    costs: dict[str, Any]
    properties: dict[str, Any]

    @property
    def boundary(self) -> str:
        """The multipart boundary; the parts are one line each, so none can contain it."""
        return f"linkweather-{self.costs['meta']['vtag']['tag']}"

    @property
    def content_type(self) -> str:
        """The response's media type: unquoted, as in RFC 9275's examples."""
        return f"multipart/related; boundary={self.boundary}; type={self.media}"

    def body(self, domain: str) -> bytes:
        """The multipart body; `domain` is the server's, for Content-IDs."""
        parts = ((self.part, self.media, self.costs), ("propmap", alto.PROPERTY_MAP, self.properties))
        text = "".join(
            # Earlier drafts, and clients of theirs, name the part by Resource-Id.
            f"--{self.boundary}\r\nContent-ID: <{name}@{domain}>\r\nResource-Id: {name}\r\n"
            f"Content-Type: {kind}\r\n\r\n{json.dumps(document)}\r\n"
            for name, kind, document in parts
        )
        return f"{text}--{self.boundary}--\r\n".encode()


def between_pids(view: View, resource: str, asked: Fields) -> PathVector:
    """The paths that a PVReqFilteredCostMap asks for. Raises AltoError, ApiError."""
    names = _read(asked)
    # A path through relays needs no link between its ends.
    paths = _paths(view, _site_pairs(view, asked))
    return _vector(view, resource, "costmap", paths, names)


def between_endpoints(view: View, resource: str, asked: Fields, requester: str) -> PathVector:
    """The paths that a PVReqEndpointCost asks for. Raises AltoError, ApiError."""
    names = _read(asked)
    pids = endpoints.pids_of(view, endpoints.endpoint_pairs(asked, requester))
    found = _paths(view, [pair for pair in dict.fromkeys(pids.values()) if set(pair) <= set(view.mesh.sites)])
    paths = {ends: found[pair] for ends, pair in pids.items() if pair in found}
    return _vector(view, resource, "endpointcost", paths, names)


def _read(asked: Fields) -> list[str]:
    kind = asked.object("cost-type")
    for key, value in COST_TYPE.document.items():
        if kind.text(key) != value:
            raise alto.invalid(kind.name(key), kind.text(key))
    for key in ("constraints", "or-constraints", "multi-cost-types"):
        if asked.values.get(key):
            raise alto.invalid(asked.name(key))
    names = asked.texts("ane-property-names")
    for name in names:
        if name not in ANE_PROPERTIES:
            raise alto.invalid(asked.name("ane-property-names"), name)
    return names


def _site_pairs(view: View, asked: Fields) -> list[Pair]:
    sources, destinations = cost_maps.ends(asked)
    sites = list(view.mesh.sites)
    return [
        (src, dst)
        for src in sites
        if not sources or src in sources
        for dst in sites
        if src != dst and (not destinations or dst in destinations)
    ]


def _paths(view: View, pairs: Sequence[Pair]) -> dict[Pair, list[Pair]]:
    if len(pairs) > PAIRS_MAX:
        raise ApiError(413, f"at most {PAIRS_MAX} paths may be asked for at once")
    answers = {pair: view.route(*pair) for pair in pairs if pair[0] != pair[1]}
    return {
        pair: list(pairwise(answer.path.sites)) for pair, answer in answers.items() if isinstance(answer, RouteAnswer)
    }


def _name(link: Pair) -> str:
    name = "_".join(link)  # site ids have no underscore
    return name if len(name) <= NAME_MAX else tag_of(link)


def _vector(view: View, resource: str, part: str, paths: Mapping[Pair, list[Pair]], names: Sequence[str]) -> PathVector:
    kind, key = _PARTS[part]
    costs = cost_maps.nested({pair: [_name(link) for link in path] for pair, path in paths.items()})
    dependent = [view.network.vtag] if part == "costmap" else []
    tag = vtag(f"{resource}.{part}", tag_of([dependent, costs]))
    links = dict.fromkeys(link for path in paths.values() for link in path)
    properties = {f".ane:{_name(link)}": values for link in links if (values := _properties(view, link, names))}
    meta = {"vtag": tag, "cost-type": COST_TYPE.document} | ({"dependent-vtags": dependent} if dependent else {})
    return PathVector(
        media=kind,
        part=part,
        costs={"meta": meta, key: costs},
        properties={"meta": {"dependent-vtags": [tag]}, "property-map": properties},
    )


# part → its media type and the name of its data.
_PARTS: Mapping[str, tuple[str, str]] = {
    "costmap": (alto.COST_MAP, "cost-map"),
    "endpointcost": (alto.ENDPOINT_COST, "endpoint-cost-map"),
}


def _properties(view: View, link: Pair, names: Sequence[str]) -> dict[str, float]:
    values = {name: ANE_PROPERTIES[name](view, link) for name in names}
    return {name: value for name, value in values.items() if value is not None}
