from __future__ import annotations

import pytest

from collector.ingest.other_journals import MOST, OtherJournals
from linkweather.containment import overflows
from linkweather.errors import MessageError
from linkweather.wire import Status, encode
from linkweather.wire.mesh_parts import MeshOrigin


def test_a_second_collector_is_said_once_and_until_the_next_connection(caplog: pytest.LogCaptureFixture) -> None:
    others = OtherJournals("j1", replaces=("j0",))
    for origin in (MeshOrigin(), MeshOrigin(journal="j1"), MeshOrigin(journal="j0")):
        others.handle_mesh(encode(origin))
    assert others.sentences() == []
    for _ in range(2):
        others.handle_mesh(encode(MeshOrigin(journal="j2")))
    (sentence,) = others.sentences()
    assert sentence.startswith(
        "the mesh on this broker was published by another collector, of the journal j2; ours is j1"
    )
    assert caplog.text.count("another collector") == 1
    others.forget()
    assert others.sentences() == []


def test_a_site_that_follows_another_journal_is_named_until_it_follows_ours() -> None:
    others = OtherJournals("j1")
    others.handle_status("a", Status(state="online"))
    others.handle_status("a", Status(state="online", journal="j2"))
    (sentence,) = others.sentences()
    assert sentence.startswith("the site a follows the journal j2 and keeps its reports for that one, ours is j1")
    others.handle_status("a", Status(state="online", journal="j1"))
    assert others.sentences() == []


def test_no_more_journals_and_sites_are_kept_than_a_bound_and_the_others_are_counted() -> None:
    others = OtherJournals("j1")
    before = overflows().get("other journals", 0)
    for number in range(MOST + 10):
        others.handle_mesh(encode(MeshOrigin(journal=f"other-{number}")))
        others.handle_status(f"site-{number}", Status(state="online", journal="other"))
    assert len(others.sentences()) == 2 * MOST
    assert overflows()["other journals"] == before + 20


def test_a_mesh_that_is_none_is_refused() -> None:
    with pytest.raises(MessageError):
        OtherJournals("j1").handle_mesh(b"no JSON")
