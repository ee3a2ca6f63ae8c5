"""The information resource directory (RFC 7285 §9.2): where every resource is and what it can do."""

from __future__ import annotations

from typing import Any

from collector.alto import media, networkmap, pathvector
from collector.alto.cost_metrics import COST_TYPES, described
from collector.alto.resources import FOLLOWED, RESOURCES, ROOT, Resource
from linkweather.mesh import Mesh

UPDATES_PATH = "/updates"


def document(mesh: Mesh, base: str) -> dict[str, Any]:
    """The directory; `base` is the server's URI as the client calls it, without a slash at its end."""
    cost_types = {kind.name: described(kind, mesh) for kind in COST_TYPES.values()}
    cost_types[pathvector.COST_TYPE_NAME] = pathvector.COST_TYPE.document
    return {
        "meta": {"cost-types": cost_types, "default-alto-network-map": networkmap.RESOURCE},
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
        "media-type": media.UPDATE_STREAM,
        "accepts": media.UPDATE_PARAMS,
        "capabilities": {
            "incremental-change-media-types": dict.fromkeys(FOLLOWED, media.MERGE_PATCH),
            "support-stream-control": True,
            # A published schema of RFC 8895 spells it so, and requires it.
            "supported-stream-control": True,
        },
        "uses": list(FOLLOWED),
    }
