"""A site's part of the mesh is taken whole or not at all, in whatever order its messages come."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from linkweather.wire.mesh_parts import MOST_BYTES, MeshAssembly, MeshHead, cut, version_of


def head(payload: bytes, parts: int) -> MeshHead:
    return MeshHead(version=version_of(payload), parts=parts)


@given(st.binary(max_size=200), st.integers(1, 50), st.randoms())
def test_whatever_comes_first_the_last_message_makes_it_whole(payload: bytes, most: int, rng: random.Random) -> None:
    slices = cut(payload, most)
    assert max(len(each) for each in slices) <= most
    assembly = MeshAssembly()
    messages: list[int | None] = [None, *range(len(slices))]
    rng.shuffle(messages)
    found = [
        assembly.take_head(head(payload, len(slices)))
        if number is None
        else assembly.take_part(str(number), slices[number])
        for number in messages
    ]
    assert found == [None] * (len(found) - 1) + [payload]


def test_half_a_mesh_is_none_until_the_other_half_comes() -> None:
    before, after = b"aabb", b"ccdd"
    assembly = MeshAssembly()
    assembly.take_head(head(before, 2))
    assembly.take_part("0", b"aa")
    assert assembly.take_part("1", b"bb") == before
    # The collector dies between two messages of the next: what is there is neither the one nor the other.
    assert assembly.take_part("0", b"cc") is None
    assert assembly.take_head(head(before, 2)) is None
    assert assembly.take_part("1", b"dd") is None
    assert assembly.take_head(head(after, 2)) == after


def test_a_part_that_became_shorter_leaves_out_what_is_left_over() -> None:
    assembly = MeshAssembly()
    for number, payload in enumerate((b"aa", b"bb", b"cc")):
        assembly.take_part(str(number), payload)
    assert assembly.take_head(head(b"aabb", 2)) == b"aabb"


@pytest.mark.parametrize("number", ["", "-1", "x", "²", "10000", "999999999"])
def test_an_impossible_number_is_ignored(number: str) -> None:
    assembly = MeshAssembly()
    assembly.take_head(head(b"", 1))
    assert assembly.take_part(number, b"") is None


def test_without_a_limit_of_the_broker_a_part_is_one_message_up_to_our_own() -> None:
    assert cut(b"", None) == [b""]
    assert [len(each) for each in cut(bytes(MOST_BYTES + 1), None)] == [MOST_BYTES, 1]
    assert cut(b"ab", 0) == [b"a", b"b"]


@pytest.mark.parametrize("parts", [0, 10_001])
def test_a_head_has_a_bounded_number_of_parts(parts: int) -> None:
    with pytest.raises(ValidationError):
        MeshHead(version="v", parts=parts)
