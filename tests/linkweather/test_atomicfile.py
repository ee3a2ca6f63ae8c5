from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from linkweather import atomicfile
from linkweather.atomicfile import DurableNumber
from linkweather.errors import OperatorError


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "mesh.toml"
    atomicfile.replace(path, "größer")
    atomicfile.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_keeps_its_inode_for_whoever_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "mesh.toml"
    path.write_text("old")
    with path.open() as reader:
        atomicfile.replace(path, "new")
        assert reader.read() == "old"


def test_permissions_stay_or_are_as_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o640)
    atomicfile.replace(path, "new")
    assert path.stat().st_mode & 0o777 == 0o640
    atomicfile.replace(path, "new", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path, link = tmp_path / "folder" / "mesh.toml", tmp_path / "link"
    link.symlink_to(path)
    atomicfile.replace(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"


def test_a_failed_write_leaves_the_old_file_and_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mesh.toml"
    path.write_text("old")

    def fail(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        atomicfile.replace(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="is no regular file"):
        atomicfile.replace(path, "new")
    assert path.is_fifo()


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomicfile.replace(tmp_path / "nowhere" / "mesh.toml", "new")


def test_files_that_were_set_aside_are_counted_by_the_name_that_they_had(tmp_path: Path) -> None:
    for content in ("one", "two"):
        (tmp_path / "mesh.json").write_text(content)
        atomicfile.set_aside(tmp_path / "mesh.json")
    (tmp_path / "outbox.sqlite").touch()
    aside = atomicfile.set_aside(tmp_path / "outbox.sqlite")
    Path(f"{aside}-wal").touch()  # of the same database
    (tmp_path / "mesh.json").touch()
    assert atomicfile.damaged_files(tmp_path) == {"mesh.json": 2, "outbox.sqlite": 1}


def test_one_caller_at_a_time_changes_a_folder_and_no_file_is_left(tmp_path: Path) -> None:
    with (
        atomicfile.changing(tmp_path),
        pytest.raises(OperatorError, match="another command is changing it"),
        atomicfile.changing(tmp_path, wait_s=0.0),
    ):
        pass
    with atomicfile.changing(tmp_path, wait_s=0.0):
        assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_locked_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(OperatorError, match="absent: cannot be opened: No such file"),
        atomicfile.changing(tmp_path / "absent"),
    ):
        pass

    def fail(_number: int, _how: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("linkweather.atomicfile.fcntl.flock", fail)
    error = errno.EIO
    with pytest.raises(OperatorError, match="cannot be locked: Input/output error"), atomicfile.changing(tmp_path):
        pass
    error = errno.EBADF  # NFS
    with atomicfile.changing(tmp_path):
        pass


def test_a_number_is_there_again_in_a_file_that_keeps_its_size(tmp_path: Path) -> None:
    first = DurableNumber(tmp_path / "number")
    assert first.read() is None
    first.write(2**63, sync=True)
    first.write(7, sync=False)
    first.close()
    assert (tmp_path / "number").stat().st_size == 12
    second = DurableNumber(tmp_path / "number")
    assert second.read() == 7
    second.close()


def test_a_damaged_number_is_none(tmp_path: Path) -> None:
    path = tmp_path / "number"
    number = DurableNumber(path)
    number.write(7, sync=True)
    path.write_bytes(b"\x08" + path.read_bytes()[1:])
    assert number.read() is None
    number.close()
