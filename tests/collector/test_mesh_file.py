"""The mesh file: what is invalid is refused, and the current mesh stays."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from collector import mesh_file
from collector.mesh_file import MeshFile, summary
from linkweather.errors import OperatorError
from linkweather.mesh import Mesh
from linkweather.mesh_methods import load_mesh
from tests.waiting import until

TWO = '[sites.a]\naddress = "192.0.2.1"\n[sites.b]\naddress = "192.0.2.2"\n'
THREE = TWO + '[sites.c]\naddress = "192.0.2.3"\n'
INVALID = '[sites.a]\naddress = "192.0.2.300"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "mesh.toml"
    found.write_text(TWO)
    return found


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.fixture
def changes() -> list[Mesh]:
    return []


@pytest.fixture
def file(path: Path, changes: list[Mesh]) -> MeshFile:
    return MeshFile(path, changes.append)


def test_a_first_mesh_must_be_valid(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"missing.toml': there is no such file: write one"):
        MeshFile(tmp_path / "missing.toml", lambda _: None)


def test_a_changed_file_is_applied_and_announced_once(path: Path, file: MeshFile, changes: list[Mesh]) -> None:
    path.write_text(THREE)
    file.reread()
    file.reread()
    assert [list(mesh.sites) for mesh in changes] == [["a", "b", "c"]]
    assert file.mesh is changes[0]


def test_an_invalid_change_is_refused_and_the_old_mesh_stays(path: Path, file: MeshFile, changes: list[Mesh]) -> None:
    path.write_text(INVALID)
    file.reread()
    assert list(file.mesh.sites) == ["a", "b"]
    assert changes == []
    assert file.refused == (
        f"{path}: sites.a.address = '192.0.2.300': must be an IPv4 address, an IPv6 address or a host name"
    )


def test_a_corrected_file_is_no_longer_refused(path: Path, file: MeshFile) -> None:
    path.write_text(INVALID)
    file.reread()
    path.write_text(TWO)
    file.reread()
    assert file.refused is None


def test_a_removed_file_is_refused_and_the_old_mesh_stays(path: Path, file: MeshFile) -> None:
    path.unlink()
    file.reread()
    assert file.refused == f"{path}: cannot be read: No such file or directory"
    assert list(file.mesh.sites) == ["a", "b"]


def test_a_replaced_mesh_is_in_the_file_with_its_mode_and_in_force(path: Path, file: MeshFile) -> None:
    path.chmod(0o640)
    assert list(asyncio.run(file.replace(THREE)).sites) == ["a", "b", "c"]
    assert path.read_text() == THREE
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(path.parent) == ["mesh.toml"]  # noqa: PTH208 – names are what is meant


def test_an_invalid_replacement_leaves_the_file_alone(path: Path, file: MeshFile) -> None:
    with pytest.raises(OperatorError, match=r"sites.a.address = '192.0.2.300'"):
        asyncio.run(file.replace(INVALID))
    assert path.read_text() == TWO


def test_a_file_that_cannot_be_written_is_one_sentence(
    path: Path, file: MeshFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OperatorError, match=r"mesh.toml: cannot be written: No space left on device"):
        asyncio.run(file.replace(THREE))
    assert path.read_text() == TWO


async def test_the_watch_follows_the_file(
    path: Path, file: MeshFile, changes: list[Mesh], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_file, "WATCH_INTERVAL_S", 0.01)
    rewrite(path, THREE)
    watch = asyncio.create_task(file.watch(), name="watch")
    await until(lambda: bool(changes))
    rewrite(path, TWO)
    await until(lambda: len(changes) == 2)
    watch.cancel()
    await asyncio.wait([watch])
    assert [list(mesh.sites) for mesh in changes] == [["a", "b", "c"], ["a", "b"]]


@pytest.mark.parametrize(
    ("text", "line"),
    [(TWO, "m.toml: 2 sites, 2 links"), ('[sites.a]\naddress = "192.0.2.1"\n', "m.toml: 1 site, 0 links")],
)
def test_the_summary_counts_in_words(text: str, line: str, path: Path) -> None:
    path.write_text(text)
    assert summary(MeshFile(path, lambda _: None).mesh, "m.toml") == line


async def test_a_disk_that_is_slow_to_read_holds_up_no_loop(
    path: Path, file: MeshFile, changes: list[Mesh], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that waits for the file once is late by as long."""
    load, read = load_mesh, threading.Event()

    def slow(name: Path) -> Mesh:
        reading.set()
        read.wait(30)
        return load(name)

    reading = threading.Event()
    monkeypatch.setattr(mesh_file, "WATCH_INTERVAL_S", 0.01)
    monkeypatch.setattr(mesh_file, "load_mesh", slow)
    watching = asyncio.create_task(file.watch(), name="watch")
    try:
        await asyncio.to_thread(path.write_text, THREE)
        await until(reading.is_set)
        assert not changes
        read.set()
        await until(lambda: bool(changes))
    finally:
        read.set()
        watching.cancel()
        await asyncio.wait([watching])
