"""The demo's decisions: both pairs that are better off through a third hub are found, and a cut link is left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.demo import hubs

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for network namespaces"),
]


JOB = ("--data", "yd:2GB", "--result", "yd:1MB", "--devices", "h100:8", "--work", "8")


def test_relays_are_found_with_their_reasons_and_left_when_they_fail(tmp_path: Path) -> None:
    with hubs.running(tmp_path) as (client, linkweather):
        hubs.wait_for_path(client, "gz", "cc", "gs")
        hubs.wait_for_path(client, "yd", "bj", "nx", objective="goodput")
        assert "through cc: RTT" in client.route("gz", "gs").why
        assert "through bj: goodput" in client.route("yd", "nx", objective="goodput").why
        linkweather("lab", "link", "gz", "cc", "--cut", "--both")
        servers.wait_until(lambda: "cc" not in hubs.path(client, "gz", "gs"), "the path avoids the cut link")
        # The window in which the cut falls may lose too much before the next one loses all.
        assert client.route("gz", "gs").switch_reason in {"failed", "stale"}
        servers.wait_until(lambda: len(client.capacity()) == len(client.sites()), "every site says what it has")
        _check_placement(json.loads(linkweather("place", *JOB, "--json")))
        evaluations = json.loads(linkweather("judge", "--json"))["evaluations"]
    assert evaluations[0]["evaluated"] > 0


def _check_placement(answer: dict[str, Any]) -> None:
    """The yd job needs h100: four hubs have some, the others are excluded for that."""
    without = {site["site"]: site["reason"] for site in answer["excluded"]}
    assert set(without) >= {"gba", "cc", "gz", "gs"}
    assert without["gz"] == "no_such_devices"
    assert {site["site"] for site in answer["ranking"]} == {"bj", "yd", "nm", "nx"} - set(without)
    assert answer["why"]
