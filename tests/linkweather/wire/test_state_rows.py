"""State rows: their bytes are frozen here, and whatever else arrives is refused with a reason."""

from __future__ import annotations

import struct
import zlib

import pytest

from linkweather.errors import MessageError
from linkweather.wire import DeviceRow
from linkweather.wire.state_rows import (
    COLUMNS,
    MAX_HEAD_BYTES,
    StateRow,
    StateRowHead,
    decode_state_row,
    encode_state_row,
)

HEAD = StateRowHead(
    at=1000.5,
    by="one",
    mesh="0123456789abcdef",
    latency=2,
    goodput=1,
    devices_at=990.0,
    devices=(DeviceRow(type="a", total=8),),
)


def sized(head: StateRowHead = HEAD) -> dict[tuple[str, str], bytes]:
    counts = {"latency": head.latency, "goodput": head.goodput}
    return {
        (part, name): struct.pack(f"<{counts[part]}{letter}", *range(counts[part]))
        for part, columns in COLUMNS.items()
        for name, (letter, _) in columns.items()
    }


def refused(payload: bytes) -> MessageError:
    with pytest.raises(MessageError) as caught:
        decode_state_row(payload)
    return caught.value


def test_a_row_comes_back_as_it_was() -> None:
    row = StateRow(HEAD, sized())
    assert decode_state_row(encode_state_row(row)) == row


def test_the_bytes_of_a_row_stay_what_they_are() -> None:
    payload = encode_state_row(StateRow(StateRowHead(at=1.0, by="b", mesh="m", latency=1, goodput=0), sized_one()))
    head, _, body = payload.partition(b"\n")
    assert head == b'{"v":1,"at":1.0,"by":"b","mesh":"m","latency":1,"goodput":0,"devices":[]}'
    assert (
        zlib.decompress(body).hex() == "00" * 8 + "00" + "00" * 8 + "00" * 8 + "00" * 8 + "00" * 24 + "0000" + "00" * 8
    )


def sized_one() -> dict[tuple[str, str], bytes]:
    return sized(StateRowHead(at=1.0, by="b", mesh="m", latency=1, goodput=0))


def test_the_columns_of_each_kind_have_the_sizes_of_their_letters() -> None:
    for columns in COLUMNS.values():
        for letter, size in columns.values():
            assert struct.calcsize(f"<{letter}") == size


def test_columns_of_another_size_are_malformed() -> None:
    head, _, body = encode_state_row(StateRow(HEAD, sized())).partition(b"\n")
    short, long = zlib.compress(zlib.decompress(body)[:-1]), zlib.compress(zlib.decompress(body) + b"x")
    for wrong in (short, long, body[:-5], body + b"x", b"no zlib", zlib.compress(bytes(50_000_000))):
        assert refused(head + b"\n" + wrong).reason == "malformed"


def test_what_has_no_head_or_too_long_a_one_is_malformed() -> None:
    assert refused(b"").reason == "malformed"
    assert refused(b"{}").reason == "malformed"
    assert refused(b" " * (MAX_HEAD_BYTES + 1) + b"\n").reason == "malformed"


@pytest.mark.parametrize("wrong", [{"latency": 10_001}, {"at": -1.0}, {"v": 2}, {"by": ""}, {"mesh": None}])
def test_a_head_that_cannot_be_is_impossible(wrong: dict[str, object]) -> None:
    head = HEAD.model_copy(update=wrong).model_dump_json()
    assert refused(head.encode() + b"\n").reason == "impossible"
