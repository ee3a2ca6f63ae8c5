"""The shared language of probes and collector: messages, topics, the mesh, errors, the root command.

For programs: `from linkweather import Client, AsyncClient`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linkweather.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: every command imports this package, few need an HTTP client.
    if name in __all__:
        return getattr(importlib.import_module("linkweather.client"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
