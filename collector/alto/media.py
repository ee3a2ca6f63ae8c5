"""ALTO's media types, exact, and whether a request takes or brings one of them."""

from __future__ import annotations

DIRECTORY = "application/alto-directory+json"
NETWORK_MAP = "application/alto-networkmap+json"
NETWORK_MAP_FILTER = "application/alto-networkmapfilter+json"
COST_MAP = "application/alto-costmap+json"
COST_MAP_FILTER = "application/alto-costmapfilter+json"
ENDPOINT_COST = "application/alto-endpointcost+json"
ENDPOINT_COST_PARAMS = "application/alto-endpointcostparams+json"
ENDPOINT_PROP = "application/alto-endpointprop+json"
ENDPOINT_PROP_PARAMS = "application/alto-endpointpropparams+json"
PROPERTY_MAP = "application/alto-propmap+json"
PROPERTY_MAP_PARAMS = "application/alto-propmapparams+json"
UPDATE_PARAMS = "application/alto-updatestreamparams+json"
UPDATE_CONTROL = "application/alto-updatestreamcontrol+json"
UPDATE_STREAM = "text/event-stream"
MERGE_PATCH = "application/merge-patch+json"
ERROR = "application/alto-error+json"
# RFC 9275 writes the type without quotes, and a known client compares it so.
PATH_VECTOR_COST_MAP = f"multipart/related;type={COST_MAP}"
PATH_VECTOR_ENDPOINT_COST = f"multipart/related;type={ENDPOINT_COST}"


def essence(media: str) -> str:
    """The media type without its parameters, in lower case."""
    return media.partition(";")[0].strip().lower()


def accepts(header: str | None, media: str) -> bool:
    """Whether an Accept header (RFC 9110 §12.5.1) allows a type; every client that sends none takes everything."""
    if header is None or not header.strip():
        return True
    wanted = essence(media)
    kind = wanted.partition("/")[0]
    # The most specific range that matches speaks.
    for candidate in (wanted, f"{kind}/*", "*/*"):
        weights = [_weight(part) for part in header.split(",") if essence(part) == candidate]
        if weights:
            return max(weights) > 0
    return False


def _weight(media_range: str) -> float:
    for parameter in media_range.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 1.0
    return 1.0
