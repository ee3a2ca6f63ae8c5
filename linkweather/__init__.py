"""What probes, collector and page share: messages, the mesh, errors, the API client, the command line.

For programs: `from linkweather import Client, AsyncClient, Job`, and the errors that they meet.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from linkweather.errors import (
    BadValueError,
    CollectorUnavailableError,
    LinkweatherError,
    NoPathError,
    NotFoundError,
    OperatorError,
    UnitError,
)

if TYPE_CHECKING:
    from linkweather.client import AsyncClient, Client
    from linkweather.models.placements import Job

__all__ = [
    "AsyncClient",
    "BadValueError",
    "Client",
    "CollectorUnavailableError",
    "Job",
    "LinkweatherError",
    "NoPathError",
    "NotFoundError",
    "OperatorError",
    "UnitError",
]

# Loaded when asked for: every command imports this package, few need an HTTP client.
_LAZY: Mapping[str, str] = {
    "AsyncClient": "linkweather.client",
    "Client": "linkweather.client",
    "Job": "linkweather.models.placements",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
