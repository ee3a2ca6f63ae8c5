"""The mesh in force at a site: the newest valid one, also after a restart."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from probes.mesh_cache import MeshCache

WHOLE = {"sites": {"a": {"address": "10.0.0.1"}, "b": {"address": "10.0.0.2"}}}
MESH = {**WHOLE, "site": "a", "groups": [{"name": "all", "sites": ["a", "b"], "hubs": ["a"]}]}


def wire(**more: object) -> bytes:
    return json.dumps(MESH | more).encode()


def membership(path: Path, *, site: str = "a", has_key: bool = False) -> MeshCache:
    return MeshCache(site, path / "mesh.json", has_key=has_key)


def test_a_new_mesh_is_in_force_and_the_same_again_changes_nothing(tmp_path: Path) -> None:
    member = membership(tmp_path)
    assert member.accept(wire())
    assert member.mesh is not None
    assert member.mesh.peers("a") == ["b"]
    assert not member.accept(wire())
    assert member.accept(wire(name="other"))


def test_fields_from_a_newer_collector_are_ignored(tmp_path: Path) -> None:
    assert membership(tmp_path).accept(wire(invented_later=1))


def test_an_invalid_mesh_is_refused_and_the_old_one_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    member = membership(tmp_path)
    member.accept(wire())
    before = member.mesh
    for payload in (b"{", b"", wire(latency={"interval_s": 0}), wire(sites={}, groups=[3])):
        assert not member.accept(payload)
        assert member.mesh is before
    assert "latency.interval_s: Input should be greater than or equal to 0.01" in caplog.text


def test_an_authenticated_mesh_needs_a_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authenticated = wire(latency={"authenticated": True})
    assert not membership(tmp_path).accept(authenticated)
    assert "give this probe a key_file" in caplog.text
    assert membership(tmp_path, has_key=True).accept(authenticated)


def test_a_mesh_without_this_site_is_in_force_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    member = membership(tmp_path, site="zz")
    assert member.accept(b'{"site":"zz","sites":{},"links":[]}')
    assert "has no site zz" in caplog.text


def test_the_part_of_another_site_is_not_applied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not membership(tmp_path, site="b").accept(wire())
    assert "the mesh is that of the site a, and this is b" in caplog.text


def test_the_whole_mesh_that_an_earlier_version_kept_is_restored_as_the_site_s_part(tmp_path: Path) -> None:
    (tmp_path / "mesh.json").write_text(json.dumps(WHOLE))
    member = membership(tmp_path, site="b")
    assert member.restore()
    assert member.mesh is not None
    assert (member.mesh.peers("b"), [*member.mesh.places]) == (["a"], ["a"])


def test_the_mesh_of_the_last_run_is_restored(tmp_path: Path) -> None:
    assert not membership(tmp_path).restore()
    first = membership(tmp_path)
    first.accept(wire(name="kept"))
    first.keep()
    again = membership(tmp_path)
    assert again.restore()
    assert again.mesh is not None
    assert again.mesh.name == "kept"


def test_a_mesh_that_cannot_be_kept_is_followed_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    member = MeshCache("a", tmp_path / "no" / "such" / "folder" / "mesh.json", has_key=False)
    assert member.accept(wire())
    member.keep()
    assert "cannot be kept in" in caplog.text


def test_a_mesh_of_the_last_run_that_cannot_be_read_is_said_and_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mesh.json").mkdir()
    assert not membership(tmp_path).restore()
    assert "mesh.json: Is a directory" in caplog.text


@pytest.mark.parametrize("content", [b"\x80garbage", b"", wire()[:60]])
def test_a_damaged_mesh_of_the_last_run_is_set_aside_and_the_collector_is_not_blamed(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mesh.json").write_bytes(content)
    assert not membership(tmp_path).restore()
    (aside,) = tmp_path.glob("mesh.json.damaged-*")
    assert aside.read_bytes() == content
    assert aside.name in caplog.text
    assert "collector's mesh" not in caplog.text
