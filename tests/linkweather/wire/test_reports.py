"""Encoded reports are split by rows to a size, and renumbered, without loss of anything else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from linkweather.errors import MessageError
from linkweather.wire import LatencyReport, LatencyRow, Message, SplitFrom, decode, encode, renumbered, split
from linkweather.wire.mesh_parts import MeshOrigin, followed

ROWS = tuple(LatencyRow(src="a", dst=f"peer-{n}", method="stamp", sent=5, received=n, detail="é" * n) for n in range(5))
REPORT = LatencyReport(boot="b", seq=3, at=datetime(2026, 11, 1, 12, tzinfo=UTC), links=ROWS)


def size_of(rows: int) -> int:
    return len(encode(REPORT.model_copy(update={"seq": 2**53, "links": ROWS[:rows]})))


@pytest.mark.parametrize(
    ("max_bytes", "counts"),
    [
        (len(encode(REPORT)), [5]),
        (size_of(3), [3, 2]),
        (size_of(3) - 1, [2, 2, 1]),
        (0, [1, 1, 1, 1, 1]),
    ],
)
def test_a_report_is_split_by_rows_into_parts_that_fit_under_any_number(max_bytes: int, counts: list[int]) -> None:
    parts = [decode(LatencyReport, part) for part in split("latency", encode(REPORT), max_bytes)]
    assert [len(part.links) for part in parts] == counts
    assert tuple(row for part in parts for row in part.links) == ROWS
    assert {part.model_copy(update={"links": ()}) for part in parts} == {REPORT.model_copy(update={"links": ()})}
    if len(parts) > 1 and max_bytes:
        assert all(len(renumbered(encode(part), "b", 2**53)) <= max_bytes for part in parts)


@pytest.mark.parametrize("payload", [b"no JSON", b"[1]", b'{"devices":[]}', b'{"links":7}', b'{"links":[]}'])
def test_what_is_no_report_stays_as_it_is(payload: bytes) -> None:
    assert split("latency", payload, 3) == [payload]


def test_another_number_changes_nothing_else() -> None:
    again = decode(LatencyReport, renumbered(encode(REPORT), "c", 9))
    assert again == REPORT.model_copy(update={"boot": "c", "seq": 9})
    whole = SplitFrom(boot="b", seq=3, parts_boot="c", first=9, last=13)
    part = decode(LatencyReport, renumbered(encode(REPORT), "c", 9, whole))
    assert part == again.model_copy(update={"split_from": whole})


@pytest.mark.parametrize(("first", "last"), [(9, 8), (0, 10_000)])
def test_parts_have_numbers_that_can_be(first: int, last: int) -> None:
    class Loose(Message):
        boot: str = "b"
        seq: int = 3
        parts_boot: str = "c"
        first: int
        last: int

    with pytest.raises(MessageError, match="the numbers of the parts cannot be"):
        decode(SplitFrom, encode(Loose(first=first, last=last)))


@pytest.mark.parametrize(
    ("present", "origin", "then"),
    [
        (None, MeshOrigin(), None),
        (None, MeshOrigin(journal="j1"), "j1"),
        ("j1", MeshOrigin(), "j1"),
        ("j1", MeshOrigin(journal="j2"), "j1"),
        ("j1", MeshOrigin(journal="j2", replaces=("j0", "j1")), "j2"),
    ],
)
def test_a_site_changes_its_journal_for_one_that_replaces_it(
    present: str | None, origin: MeshOrigin, then: str | None
) -> None:
    assert followed(present, origin) == then
