"""A data folder is made for us alone, or refused: whoever could write it could have us write through a link."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from linkweather.errors import OperatorError
from linkweather.private_folder import make_private, why_not_ours

US, GROUP = 1000, 100
TODO = ": name a folder that only you can write"
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a folder away")


def why(mode: int, uid: int = US, gid: int = GROUP, *, last: bool = False) -> str | None:
    found = os.stat_result((mode, 0, 0, 0, uid, gid, 0, 0, 0, 0))
    return why_not_ours(found, {0, US}, {GROUP}, last=last)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "above", "itself"),
    [
        (stat.S_IFDIR | 0o700, US, GROUP, None, None),
        (stat.S_IFDIR | 0o755, 0, 0, None, None),
        (stat.S_IFDIR | 0o775, US, GROUP, None, None),  # a user's own group
        (stat.S_IFDIR | 0o775, US, 7, "can be written by others", "can be written by others"),
        (stat.S_IFDIR | 0o777, US, GROUP, "can be written by others", "can be written by others"),
        (stat.S_IFDIR | 0o1777, 0, 0, None, "can be written by others"),  # /tmp
        (stat.S_IFDIR | 0o700, 1001, GROUP, "belongs to another user, 1001", "belongs to another user, 1001"),
        (stat.S_IFLNK | 0o777, US, GROUP, None, "is a symbolic link"),
        (stat.S_IFLNK | 0o777, 1001, GROUP, "belongs to another user, 1001", "belongs to another user, 1001"),
        (stat.S_IFREG | 0o600, US, GROUP, None, "is no folder"),
    ],
)
def test_a_folder_is_ours_by_owner_kind_and_mode(
    mode: int, uid: int, gid: int, above: str | None, itself: str | None
) -> None:
    assert (why(mode, uid, gid), why(mode, uid, gid, last=True)) == (above, itself)


def test_what_is_missing_is_made_for_us_alone(tmp_path: Path) -> None:
    make_private(tmp_path / "a" / "b")
    make_private(tmp_path / "a" / "b")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")] == [0o700, 0o700]


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "aim").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "aim")
    with pytest.raises(OperatorError, match=rf"^data_dir = '{tmp_path}/data': is a symbolic link{TODO}$"):
        make_private(tmp_path / "data", "data_dir")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    with pytest.raises(OperatorError, match="is a symbolic link"):
        make_private(tmp_path / "nowhere")
    assert not (tmp_path / "gone").exists()


def test_our_own_link_above_is_followed_to_folders_that_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "open" / "below")
    (tmp_path / "open" / "below").mkdir()
    expected = f"{tmp_path}/link/data: {tmp_path}/open can be written by others{TODO}"
    with pytest.raises(OperatorError, match=f"^{re.escape(expected)}$"):
        make_private(tmp_path / "link" / "data")
    (tmp_path / "open").chmod(0o755)
    make_private(tmp_path / "link" / "data")


@root
def test_another_user_s_folder_is_refused_to_root_but_for_the_user_who_called_sudo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 54321, 54321)
    with pytest.raises(OperatorError, match=rf"^{theirs}/data: {theirs} belongs to another user, 54321{TODO}$"):
        make_private(theirs / "data")
    assert list(theirs.iterdir()) == []
    monkeypatch.setenv("SUDO_UID", "54321")
    make_private(theirs / "data")


def test_a_folder_of_ours_that_others_can_write_is_closed_unless_something_of_theirs_is_in_it(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    disk.chmod(0o1777)  # as a new tmpfs is
    (disk / "journal").write_text("ours")
    make_private(disk)
    assert stat.S_IMODE(disk.stat().st_mode) == 0o700
    disk.chmod(0o777)
    (disk / "link").symlink_to("anywhere")
    with pytest.raises(OperatorError, match="can be written by others"):
        make_private(disk)
    assert stat.S_IMODE(disk.stat().st_mode) == 0o777


def test_in_a_container_nobody_else_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    (volume / "link").symlink_to("anywhere")  # as another user may have put there
    with pytest.raises(OperatorError, match="can be written by others"):
        make_private(volume)
    monkeypatch.setenv("LINKWEATHER_ALONE", "1")
    make_private(volume)
