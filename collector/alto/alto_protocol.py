"""ALTO's media types, version tags and errors (RFC 7285 §8 and §10)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from linkweather.errors import LinkweatherError

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
MERGE_PATCH = "application/merge-patch+json"
ERROR = "application/alto-error+json"
# RFC 9275 writes the type without quotes, and a known client compares it in this form.
PATH_VECTOR_COST_MAP = f"multipart/related;type={COST_MAP}"
PATH_VECTOR_ENDPOINT_COST = f"multipart/related;type={ENDPOINT_COST}"


def essence(media: str) -> str:
    """The media type without its parameters, in lower case."""
    return media.partition(";")[0].strip().lower()


def accepts(header: str | None, media: str) -> bool:
    """Whether an Accept header (RFC 9110 §12.5.1) allows a type; without a header everything is allowed."""
    if header is None or not header.strip():
        return True
    wanted = essence(media)
    kind = wanted.partition("/")[0]
    # The most specific matching range decides.
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


TAG_LENGTH = 40


def tag_of(content: Any) -> str:
    """The tag of JSON content, the same in every process and for every order of keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:TAG_LENGTH]


def vtag(resource: str, tag: str) -> dict[str, str]:
    """A VersionTag."""
    return {"resource-id": resource, "tag": tag}


class AltoError(LinkweatherError):
    """The client's mistake; it becomes HTTP 400 with `document`."""

    def __init__(self, code: str, **details: str) -> None:
        super().__init__(code)
        self.document = {"meta": {"code": code, **details}}


def syntax(text: str) -> AltoError:
    """The body is no JSON object; `text` says where and why, for developers."""
    return AltoError("E_SYNTAX", **{"syntax-error": text})


def missing(field: str) -> AltoError:
    """A required field is missing; `field` is its full path."""
    return AltoError("E_MISSING_FIELD", field=field)


def wrong_type(field: str) -> AltoError:
    """A field has a value of the wrong type."""
    return AltoError("E_INVALID_FIELD_TYPE", field=field)


def invalid(field: str, *value: Any) -> AltoError:
    """A field has an invalid value; `value`, where given, is reported as a string, as RFC 7285 requires."""
    error = AltoError("E_INVALID_FIELD_VALUE", field=field)
    for one in value:
        error.document["meta"]["value"] = one if isinstance(one, str) else json.dumps(one)
    return error
