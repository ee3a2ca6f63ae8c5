"""The doors for others: probers and sinks by name, each loaded when it is used.

A package offers one by an entry point, ours do so in this project's own `pyproject.toml`:

    [project.entry-points."linkweather.probers"]
    http = "probes.latency.http:HttpProber"

Names are what the mesh, the settings, the wire and the command line say. Listing them imports nothing.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from linkweather.errors import OperatorError

PROBERS = "linkweather.probers"
SINKS = "linkweather.sinks"


def names(group: str) -> tuple[str, ...]:
    """The names that installed packages offer in `group`, in alphabetical order."""
    return tuple(sorted(_offered(group)))


def load(group: str, name: str) -> Any:
    """What `name` stands for. Raises OperatorError where no package offers it, several do, or it cannot be imported."""
    offered = _offered(group).get(name, [])
    kind = group.rpartition(".")[2].removesuffix("s")
    if not offered:
        installed = ", ".join(names(group)) or "none: install linkweather anew, as it is older than its source"
        raise OperatorError(f"no {kind} is called {name!r}; installed are {installed}")
    if len(offered) > 1:
        packages = ", ".join(sorted({point.dist.name if point.dist else point.value for point in offered}))
        raise OperatorError(f"the {kind} {name!r} is offered by several packages: {packages}; remove all but one")
    try:
        return offered[0].load()
    except Exception as error:
        raise OperatorError(f"the {kind} {name!r} ({offered[0].value}) cannot be loaded: {error}") from error


def package(group: str, name: str) -> str:
    """The package that offers `name`, as it is installed; empty where none does."""
    offered = _offered(group).get(name, [])
    return offered[0].dist.name if offered and offered[0].dist else ""


@cache  # looking through what is installed takes 10 ms, and a mesh asks for each of its sites
def _offered(group: str) -> dict[str, list[EntryPoint]]:
    offered: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        offered.setdefault(point.name, []).append(point)
    return offered
