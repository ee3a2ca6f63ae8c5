"""TLVs behind a request, and what comes back of them. Flags: U 80, M 40, I 20."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.latency.stamp_tlvs import MALFORMED, MOST, UNRECOGNISED, UNVERIFIED, padding, reflect

KEY = bytes(range(32))
PADDED = bytes.fromhex("80010003 aabbcc")
LOCATION = bytes.fromhex("80020004 01020304")


def digest(sequence: int, before: bytes) -> bytes:
    return hmac.digest(KEY, sequence.to_bytes(4, "big") + before, "sha256")[:16]


def signed(before: bytes, sequence: int = 7) -> bytes:
    return before + bytes.fromhex("80080010") + digest(sequence, before)


def reflected(extra: bytes, key: bytes | None = None) -> tuple[str, int]:
    found = reflect(extra, key=key, received=7, replied=3)
    return found.extra.hex(), found.flags


def test_padding_is_known_and_its_u_is_cleared() -> None:
    assert reflected(PADDED) == ("00010003aabbcc", 0)
    assert padding(7) == bytes.fromhex("80010003000000")
    assert padding(4) == bytes.fromhex("80010000")


def test_an_unknown_type_is_flagged_and_its_neighbours_are_not() -> None:
    # Also where the sender has left U clear, or set what is reserved.
    assert reflected(bytes.fromhex("1f020001ff") + PADDED) == ("80020001ff00010003aabbcc", UNRECOGNISED)


@pytest.mark.parametrize(
    ("end", "comes_back"),
    [
        ("80010004aabbcc", "40010004aabbcc"),  # says four octets, has three
        ("8001ff", "4001ff"),  # no whole header
        ("80080003aabbcc", "40080003aabbcc"),  # an HMAC of three octets
    ],
)
def test_what_does_not_fit_is_malformed_and_ends_the_reading(end: str, comes_back: str) -> None:
    assert reflected(PADDED + bytes.fromhex(end)) == ("00010003aabbcc" + comes_back, MALFORMED)


def test_the_padding_of_rfc_8762_is_copied() -> None:
    assert reflected(bytes(31)) == ("00" * 31, 0)
    assert reflected(b"") == ("", 0)


def test_a_packet_of_hundreds_is_read_as_far_as_the_limit() -> None:
    extra, flags = reflected(bytes.fromhex("80020000") * (MOST + 10))
    assert extra == "80020000" * MOST + "40020000" + "80020000" * 9
    assert flags == UNRECOGNISED | MALFORMED
    assert reflected(bytes.fromhex("80020000") * MOST)[1] == UNRECOGNISED


def test_an_hmac_without_a_key_is_unknown() -> None:
    extra = signed(PADDED)
    assert reflected(extra) == ("00" + extra.hex()[2:], UNRECOGNISED)


def test_with_a_key_the_hmac_is_checked_and_made_anew_over_the_reply_s_sequence() -> None:
    came_back, flags = reflected(signed(LOCATION) + PADDED, KEY)
    assert flags == UNRECOGNISED
    assert came_back == LOCATION.hex() + "00080010" + digest(3, LOCATION).hex() + "00010003aabbcc"


@pytest.mark.parametrize(
    "extra",
    [
        LOCATION,  # none
        signed(LOCATION, sequence=8),  # of another packet
        signed(LOCATION)[:-1] + b"\0",  # a changed octet
        signed(b"") + LOCATION,  # not the last
        signed(signed(b"")),  # two
        PADDED + PADDED,  # only a single padding needs none
    ],
)
def test_tlvs_that_are_not_verified_are_copied_and_each_says_so(extra: bytes) -> None:
    came_back, flags = reflected(extra, KEY)
    assert flags == UNVERIFIED
    assert bytes.fromhex(came_back)[0] == extra[0] | UNVERIFIED
    differing = [(old, new) for old, new in zip(extra, bytes.fromhex(came_back), strict=True) if old != new]
    assert differing
    assert all(new == old | UNVERIFIED for old, new in differing)


def test_what_does_not_fit_cannot_be_verified() -> None:
    assert reflected(bytes.fromhex("8001"), KEY) == ("e001", UNVERIFIED)


def test_padding_alone_needs_no_hmac() -> None:
    assert reflected(PADDED, KEY) == ("00010003aabbcc", 0)


@given(st.binary(max_size=300), st.sampled_from([None, KEY]))
def test_any_bytes_come_back_as_long_as_they_went_and_changed_in_flags_and_hmacs_only(
    extra: bytes, key: bytes | None
) -> None:
    came_back = reflect(extra, key=key, received=7, replied=3)
    assert len(came_back.extra) == len(extra)
    again = reflect(came_back.extra, key=None, received=0, replied=0)
    assert again.extra[1:] == came_back.extra[1:] or came_back.flags != 0


@given(st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=20)), min_size=1, max_size=8), st.integers(0, 255))
def test_well_formed_tlvs_keep_type_length_and_value(tlvs: list[tuple[int, bytes]], flags: int) -> None:
    kinds = [(kind if kind != 8 else 9, value) for kind, value in tlvs]
    extra = b"".join(bytes([flags, kind]) + len(value).to_bytes(2) + value for kind, value in kinds)
    expected = b"".join(
        bytes([0 if kind == 1 else UNRECOGNISED, kind]) + len(value).to_bytes(2) + value for kind, value in kinds
    )
    assert reflect(extra, key=None, received=0, replied=0).extra == expected
