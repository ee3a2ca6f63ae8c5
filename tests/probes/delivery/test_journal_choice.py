"""A site follows one journal: the first that a mesh names, until a mesh replaces it."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkweather.wire.journals import MeshOrigin
from probes.delivery.journal_choice import JournalChoice


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "site" / "followed-journal"


def test_the_first_journal_is_followed_across_restarts_and_another_ignored_and_said_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert JournalChoice("a", path).takes_mesh(MeshOrigin(journal="j1"))
    choice = JournalChoice("a", path)
    assert choice.journal == "j1"
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
    assert JournalChoice("a", path).journal == "j2"


def test_a_collector_without_a_journal_s_id_is_followed_as_before(path: Path) -> None:
    choice = JournalChoice("a", path)
    assert choice.takes_mesh(MeshOrigin())
    assert choice.takes_committed(None)
    assert choice.takes_committed("j1")
    assert not path.exists()
    choice.takes_mesh(MeshOrigin(journal="j1"))
    assert choice.takes_committed(None)


@pytest.mark.parametrize("content", [b"\xff", b""])
def test_a_file_that_says_nothing_lets_the_next_mesh_say(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    choice = JournalChoice("a", path)
    assert choice.journal is None
    assert choice.takes_mesh(MeshOrigin(journal="j1"))


def test_a_choice_that_cannot_be_kept_counts_for_this_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    choice = JournalChoice("a", tmp_path / "file" / "followed-journal")
    assert choice.takes_mesh(MeshOrigin(journal="j1"))
    assert not choice.takes_committed("j2")
    assert "cannot be kept" in caplog.text
