from __future__ import annotations

from linkweather.checksum import checksum


def test_checksum_of_the_example_in_the_standard() -> None:
    # RFC 1071 §3: 0001 f203 f4f5 f6f7 add up to ddf2, of which the complement is taken.
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2 ^ 0xFFFF


def test_octets_with_their_own_checksum_give_nothing() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7220d")) == 0


def test_odd_octet_counts_as_if_a_zero_followed() -> None:
    assert checksum(b"\x12\x34\x56") == checksum(b"\x12\x34\x56\x00") == (0x1234 + 0x5600) ^ 0xFFFF
