"""Containers: what they run exists, with no more rights than it needs. `make manifests` holds all to their schemas."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # apprise brings it

from collector.settings import CollectorSettings
from linkweather import settings
from probes.settings import ProbeSettings
from tests.command_tree import leaves, options_of

ROOT = Path(__file__).parents[2]
CONTAINERS = ROOT / "config" / "containers"
NO_MORE: dict[str, Any] = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((CONTAINERS / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return services


def pods() -> dict[str, Any]:
    """The workloads' pods by name."""
    documents = yaml.safe_load_all((CONTAINERS / "kubernetes.yaml").read_text(encoding="utf-8"))
    return {each["metadata"]["name"]: each for each in documents if each["kind"] != "Service"}


def container(name: str) -> Any:
    (only,) = pods()[name]["spec"]["template"]["spec"]["containers"]
    return only


def commands() -> Iterator[list[str]]:
    yield from (service["command"] for service in compose().values() if service["image"] == "linkweather")
    yield from (container(name)["args"] for name in ("collector", "probe"))


@pytest.mark.parametrize("command", [*commands()], ids=shlex.join)
def test_a_container_runs_a_command_with_options_that_exist(command: list[str]) -> None:
    name, *rest = command
    assert (name,) in leaves()
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= options_of((name,))


def test_the_workloads_are_of_the_kinds_that_fit_them() -> None:
    kinds = {name: (pod["kind"], pod["spec"].get("replicas")) for name, pod in pods().items()}
    assert kinds == {"broker": ("Deployment", 1), "collector": ("StatefulSet", 1), "probe": ("DaemonSet", None)}


def test_a_probe_may_open_raw_sockets_and_all_others_nothing() -> None:
    assert {name: container(name)["securityContext"] for name in pods()} == {
        "broker": {**NO_MORE, "capabilities": {"drop": ["ALL"]}},
        "collector": {**NO_MORE, "capabilities": {"drop": ["ALL"]}},
        "probe": {**NO_MORE, "runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}},
    }
    rights = {name: (service.get("cap_drop"), service.get("cap_add")) for name, service in compose().items()}
    assert rights == {"broker": (None, None), "collector": (["ALL"], None), "probe": (["ALL"], ["NET_RAW"])}


def test_each_mounted_volume_is_declared_and_outlives_the_pod_where_it_holds_reports() -> None:
    for pod in pods().values():
        spec = pod["spec"]["template"]["spec"]
        declared = {volume["name"]: volume for volume in spec.get("volumes", ())}
        declared |= {claim["metadata"]["name"]: {} for claim in pod["spec"].get("volumeClaimTemplates", ())}
        assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == set(declared)
        assert "emptyDir" not in declared.get("data", {})


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("packaging/deb/probe.toml", ProbeSettings),
        ("packaging/deb/collector.toml", CollectorSettings),
    ],
)
def test_the_settings_of_the_debian_package_are_taken(file: str, kind: Any) -> None:
    assert settings.parse((ROOT / file).read_text(encoding="utf-8"), kind, file)


def test_the_removal_of_the_debian_package_stops_every_unit_that_it_has() -> None:
    removal = (ROOT / "packaging" / "deb" / "prerm").read_text(encoding="utf-8")
    (units,) = re.findall(r'units="(.*)"', removal)
    assert sorted(units.split()) == sorted(path.name for path in (ROOT / "config" / "systemd").glob("*.service"))
