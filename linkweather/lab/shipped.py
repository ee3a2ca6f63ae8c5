"""The example files that travel with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def shipped(name: str) -> Path:
    """An example file by its path under config/, such as `labs/hubs.toml`, in a checkout or an installed wheel."""
    return Path(str(resources.files("linkweather").joinpath("config", name)))
