"""A template of pSConfig as the tables of a mesh file, and what has no place in one. Pure.

https://docs.perfsonar.net/psconfig_templates_intro.html: `addresses` in `groups`, `tests` with `schedules`, and `tasks`
that give a group a test.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic_core import from_json

from collector.migration.measurement import NotCarriedOverError, as_written_by

_KINDS: Mapping[str, str] = {
    **dict.fromkeys(("latency", "latencybg", "rtt"), "latency"),
    "throughput": "throughput",
    "trace": "path",
}
_ELSEWHERE: Final = ("archives", "hosts", "contexts", "includes")
_DURATION: TypeAdapter[timedelta] = TypeAdapter(timedelta)

Document = Mapping[str, Any]
Tests = dict[str, dict[str, float]]  # of a group: kind of test → its settings


def mesh_tables(content: bytes, given: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The tables of a mesh file, and a sentence for each thing that is not in them; `given` names sites of addresses.

    Raises NotCarriedOverError for what is no template, or has nothing to carry over.
    """
    with as_written_by("pSConfig"):
        template = from_json(content)
        left_out = [f"{name}: has no place in a mesh file" for name in _ELSEWHERE if template.get(name)]
        of_groups: dict[str, Tests] = defaultdict(dict)
        for name, task in template["tasks"].items():
            if why := _add_test(task, template, of_groups[task["group"]]):
                left_out.append(f"the task {name}: {why}")
        sites: dict[str, dict[str, Any]] = {}
        groups: list[dict[str, Any]] = []
        # A link is measured as the first group says that has it: those with throughput tests come first.
        for name in sorted(of_groups, key=lambda one: "throughput" not in of_groups[one]):
            if tests := of_groups[name]:
                members = _members(name, template, given, sites, left_out)
                if not members:  # to a mesh file, a group of no sites
                    left_out.append(f"the group {name}: has no address that is carried over")
                    continue
                groups.append({"name": name, "sites": members, **_tables(name, tests, left_out)})
    if not groups:
        raise NotCarriedOverError("has no task whose group and test could be carried over")
    return {"name": "psconfig", "sites": sites, "groups": groups}, left_out


def _add_test(task: Document, template: Document, tests: Tests) -> str | None:
    """Adds what a task asks of its group; or why it cannot."""
    test, group = template["tests"][task["test"]], template["groups"][task["group"]]
    if task.get("disabled"):
        return "is disabled"
    if test["type"] not in _KINDS:
        return f"a test of the type {test['type']}"
    if group["type"] != "mesh":
        return f"the group {task['group']} is of the type {group['type']}: only mesh is carried over"
    kind, spec = _KINDS[test["type"]], test.get("spec", {})
    schedule = template.get("schedules", {}).get(task.get("schedule"), {})
    asked = tests.setdefault(kind, {})
    if kind == "latency":
        asked |= {"interval_s": float(spec["packet-interval"])} if "packet-interval" in spec else {}
    elif "repeat" in schedule:
        asked["every_s"] = _DURATION.validate_python(schedule["repeat"]).total_seconds()
    return None


def _tables(name: str, tests: Tests, left_out: list[str]) -> dict[str, Any]:
    if "latency" not in tests:
        left_out.append(f"the group {name} has no latency test: its links get one, as every link has")
    off = {kind: {"enabled": False} for kind in ("throughput", "path") if kind not in tests}
    return {**{kind: asked for kind, asked in tests.items() if asked}, **off}


def _members(
    group: str, template: Document, given: Mapping[str, str], sites: dict[str, dict[str, Any]], left_out: list[str]
) -> list[str]:
    """The ids of the sites of a group, each once; new ones are made."""
    found: dict[str, None] = {}
    if template["groups"][group].get("excludes"):
        left_out.append(f"the group {group}: its excludes")
    for selector in template["groups"][group]["addresses"]:
        name = selector.get("name")
        if name not in template["addresses"]:
            left_out.append(f"the group {group}: an address that is not given by a name of the template")
            continue
        address = template["addresses"][name]["address"]
        site = given.get(name, _id_of(name))
        there = sites.setdefault(site, {"address": address})["address"]
        if there != address:
            left_out.append(f"the address {address}: the site {site} has {there} already")
        found[site] = None
    return list(found)


def _id_of(name: str) -> str:
    """A site id out of the name of an address; one that cannot be is refused as the mesh's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32]
