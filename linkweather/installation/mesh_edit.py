"""Adds sites to a mesh file and takes them out, as an editor would: comments and order stay. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError

from linkweather.errors import OperatorError

_NEW = """# The mesh: the sites, the links to measure, and how. The collector follows every change of this file.
name = "mesh"

[latency]
authenticated = true
"""


def with_site(text: str | None, site: str, values: Mapping[str, Any]) -> str:
    """The mesh with a site; a new mesh where there is no text. Raises OperatorError: the site is there already."""
    document = _parsed(_NEW if text is None else text)
    sites = document.setdefault("sites", tomlkit.table(is_super_table=True))
    if site in sites:
        raise OperatorError(f"{site}: is in the mesh already: `linkweather enrol renew {site}` gives it another token")
    table = tomlkit.table()
    table.update({key: value for key, value in values.items() if value is not None})
    sites[site] = table
    return tomlkit.dumps(document)


def without_site(text: str, site: str) -> str:
    """The mesh without a site, its links and its places in groups.

    Raises OperatorError: there is none of that name, or a group would have no site left of those that it names.
    """
    document = _parsed(text)
    sites = document.get("sites", {})
    if site not in sites:
        raise OperatorError(f"{site}: is no site of the mesh; these are: {', '.join(sites)}")
    del sites[site]
    for group in document.get("groups", ()):
        for key in ("sites", "hubs"):
            if site in group.get(key, ()):
                _leave(group, key, site)
    links = document.get("links")
    if links is not None:
        for number in reversed(range(len(links))):
            if site in (links[number].get("src"), links[number].get("dst")):
                del links[number]
        if not links:  # without the key, every pair would be a link
            del document["links"]
            document["links"] = []
    return tomlkit.dumps(document)


def _leave(group: Any, key: str, site: str) -> None:
    """A group that named no one any more would be one of the whole mesh, or a full one: that is for an operator."""
    named = group[key]
    if set(named) == {site}:
        raise OperatorError(
            f"{site}: is the last of {key} in the group {group.get('name')}: give that others, or take it out, first"
        )
    while site in named:
        named.remove(site)


def _parsed(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except ParseError as error:
        raise OperatorError(f"the mesh file is not TOML: {error}") from None
