"""A mesh file together with what is installed: each site's method must exist, and its options must be that method's.

The model of the mesh knows neither, so that a message from the wire is read alike everywhere: a site that lacks a
method is a failure of its links there, not of the mesh.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from linkweather import plugins, settings
from linkweather.errors import BadValueError, OperatorError
from linkweather.mesh import Mesh, Settings

_OURS = "linkweather"


def load_mesh(path: Path) -> Mesh:
    """Read a mesh file and check its methods. Raises OperatorError: one sentence with file, key and value."""
    return parse_mesh(settings.read(path), str(path))


def parse_mesh(text: str, where: str) -> Mesh:
    """Parse the text of a mesh file called `where` and check its methods. Raises OperatorError as `load_mesh` does."""
    mesh = settings.parse(text, Mesh, where)
    _check_groups(mesh, where)
    for name, site in mesh.sites.items():
        check_options(site.method, site.options, where, site=f"sites.{name}")
    packages = {site.method: plugins.package(plugins.PROBERS, site.method) for site in mesh.sites.values()}
    foreign = {method: package for method, package in packages.items() if package != _OURS}
    return mesh.model_copy(update={"packages": mesh.packages | foreign})


def _check_groups(mesh: Mesh, where: str) -> None:
    """Refuse an empty list, as a group that names no site has all of them; on the wire it is what is not set."""
    for number, group in enumerate(mesh.groups):
        for name in ("sites", "hubs", "between"):
            if name in group.model_fields_set and not getattr(group, name):
                key = f"groups[{number}].{name}"
                raise BadValueError(key, f"{key} = []: must name at least one; without the key it is all sites", where)


def check_options(method: str, options: Mapping[str, Any], where: str, *, site: str) -> Settings:
    """A method's options, validated by its own model. Raises BadValueError with the full key, below that of `site`."""
    try:
        model: type[Settings] = plugins.load(plugins.PROBERS, method).options
    except OperatorError as error:
        key = f"{site}.method"
        raise BadValueError(key, f"{key} = {method!r}: {error}", where) from None
    try:
        return settings.validate(options, model, "")
    except BadValueError as error:
        prefix = f"{site}.options."
        sentence = error.sentence if not error.key else f"{prefix}{error.sentence}"
        raise BadValueError(f"{prefix}{error.key}", sentence, where) from None
