"""A site follows one journal: the first that a mesh names, until a mesh replaces it."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkweather.atomicfile import damaged_files
from linkweather.errors import OperatorError
from linkweather.wire.mesh_parts import MeshOrigin
from probes.delivery.journal_choice import JournalChoice


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "site" / "followed-journal"


def test_the_first_journal_is_followed_across_restarts_and_another_ignored_and_said_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = JournalChoice("a", path)
    assert first.takes_mesh(MeshOrigin(journal="j1"))
    assert first.unkept
    assert not path.exists()  # the loop waits for no disk
    first.keep()
    choice = JournalChoice("a", path)
    assert (choice.journal, choice.unkept) == ("j1", False)
    assert choice.takes_committed("j1")
    assert not choice.takes_mesh(MeshOrigin(journal="j2", replaces=("j0",)))
    assert not choice.takes_committed("j2")
    assert caplog.text.count("a second collector, of the journal j2, is on this broker; a follows the journal j1") == 1
    assert 'replaces = ["j1"]' in caplog.text


def test_a_journal_that_replaces_the_followed_one_is_followed_and_the_replaced_one_never_again(path: Path) -> None:
    choice = JournalChoice("a", path)
    choice.takes_mesh(MeshOrigin(journal="j1"))
    assert choice.takes_mesh(MeshOrigin(journal="j2", replaces=("j1",)))
    assert not choice.takes_committed("j1")
    assert not choice.takes_mesh(MeshOrigin(journal="j1"))
    choice.keep()
    assert JournalChoice("a", path).journal == "j2"


def test_a_collector_without_a_journal_s_id_is_followed_as_before(path: Path) -> None:
    choice = JournalChoice("a", path)
    assert choice.takes_mesh(MeshOrigin())
    assert choice.takes_committed(None)
    assert choice.takes_committed("j1")
    choice.keep()
    assert not path.exists()
    choice.takes_mesh(MeshOrigin(journal="j1"))
    assert choice.takes_committed(None)


@pytest.mark.parametrize("content", [b"\xff", b"", b"0123456789abcdeg 26ffa9e2"])
def test_a_damaged_file_is_set_aside_and_the_next_mesh_says(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    choice = JournalChoice("a", path)
    assert choice.journal is None
    assert choice.takes_mesh(MeshOrigin(journal="j1"))
    assert damaged_files(path.parent) == {"followed-journal": 1}
    assert caplog.text.count("is damaged: it is set aside as followed-journal.damaged-") == 1


def test_a_file_of_an_earlier_version_is_read(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("0123456789abcdef")
    assert JournalChoice("a", path).journal == "0123456789abcdef"


def test_a_file_that_cannot_be_read_makes_no_site_follow_another(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(OperatorError, match="followed-journal: cannot be read: Is a directory"):
        JournalChoice("a", path)


def test_a_choice_that_cannot_be_kept_counts_for_this_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    choice = JournalChoice("a", tmp_path / "file" / "followed-journal")
    (tmp_path / "file").write_text("")  # where its folder would be
    assert choice.takes_mesh(MeshOrigin(journal="j1"))
    choice.keep()
    assert choice.unkept
    assert not choice.takes_committed("j2")
    assert "cannot be kept" in caplog.text
