"""What a mesh costs, worked out by hand."""

from __future__ import annotations

from linkweather.mesh import Mesh
from linkweather.mesh.mesh_load import MeshLoad, loads, total

SITES = {name: {"address": f"192.0.2.{number}"} for number, name in enumerate("abcd", start=1)}


def test_a_mesh_without_groups_is_one_load() -> None:
    found = Mesh.model_validate({"sites": SITES})
    # 12 links, 10 probes a second and their replies, 44 octets and 28 of headers; a row in 5 s each.
    whole = MeshLoad(None, 4, 12, 240.0, 240.0 * 72, 2.4)
    assert (loads(found), total(found)) == ([whole], whole)


def test_each_group_has_its_own_load_and_the_whole_has_their_sum() -> None:
    groups = [
        {"name": "star", "hubs": ["a"], "latency": {"interval_s": 1.0, "report_interval_s": 60.0}},
        {"name": "all", "latency": {"interval_s": 2.0}},
    ]
    tests = {"authenticated": True, "packet_bytes": 200}
    found = Mesh.model_validate({"sites": SITES, "groups": groups, "latency": tests})
    star, rest = MeshLoad("star", 4, 6, 12.0, 12.0 * 228, 0.1), MeshLoad("all", 4, 6, 6.0, 6.0 * 228, 1.2)
    assert loads(found) == [star, rest]
    assert total(found) == MeshLoad(None, 4, 12, 18.0, 18.0 * 228, 0.1 + 1.2)


def test_an_authenticated_probe_is_longer() -> None:
    found = Mesh.model_validate({"sites": SITES, "latency": {"authenticated": True}})
    assert total(found).bytes_per_s == 240.0 * 140
