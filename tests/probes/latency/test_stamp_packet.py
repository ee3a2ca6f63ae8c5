"""The frozen packets both ways, an independent encoder, and any bytes at all."""

from __future__ import annotations

import warnings
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkweather.errors import MessageError
from probes.latency.clocks import (
    ErrorEstimate,
    decode_error,
    encode_error,
    ns_from_ntp,
    ns_from_ptp,
    ntp_from_ns,
    to_ns,
)
from probes.latency.stamp_packet import (
    StampReply,
    StampRequest,
    decode_reply,
    decode_request,
    depart,
    draft,
    draft_signed,
    encode_request,
    is_plain_request,
    is_reply,
    sequence_of,
    ssid_of,
    ssid_of_signed,
)

KEY = bytes(range(32))
SENT = 0xEEACAF0080000000  # 2026-11-22T00:00:00.5Z
SENT_NS = 1_795_305_600_500_000_000
REQUEST = StampRequest(1, SENT, 0x9464, 0x1234)
REPLY = StampReply(7, 0xEEACAF008004A0B5, 0x9532, 0x1234, 0xEEACAF0080041893, 1, SENT, 0x9464, 254)
A = bytes.fromhex("00000001eeacaf008000000094641234" + "00" * 28)
B = bytes.fromhex(
    "00000007eeacaf008004a0b595321234eeacaf008004189300000001eeacaf008000000094640000fe000000",
)
C = bytes.fromhex(
    "00000001" + "00" * 12 + "eeacaf008000000094641234" + "00" * 68 + "bfadd4f455978caed0a267481dd99f9e",
)
D = bytes.fromhex(
    "00000007"
    + "00" * 12
    + "eeacaf008004a0b59532123400000000eeacaf0080041893"
    + "00" * 8
    + "00000001"
    + "00" * 12
    + "eeacaf00800000009464"
    + "00" * 6
    + "fe"
    + "00" * 15
    + "7c327359ad7c156365edcb0a60544854",
)


@pytest.mark.parametrize(("golden", "key"), [(A, None), (C, KEY)])
def test_requests_are_the_golden_packets(golden: bytes, key: bytes | None) -> None:
    assert encode_request(REQUEST, key) == golden
    assert decode_request(golden, key) == REQUEST


@pytest.mark.parametrize(("request_", "golden", "key"), [(A, B, None), (C, D, KEY)])
def test_replies_are_the_golden_packets(request_: bytes, golden: bytes, key: bytes | None) -> None:
    begin, ssid = (draft_signed, ssid_of_signed(request_)) if key else (draft, ssid_of(request_))
    reply = begin(request_, ssid, REPLY.sequence, REPLY.received, ttl=REPLY.sender_ttl, error=REPLY.error)
    depart(reply, REPLY.timestamp, key)
    assert bytes(reply) == golden
    assert decode_reply(golden, key) == REPLY


@pytest.mark.parametrize("golden", [A, C])
def test_the_sequence_stands_in_the_same_place_in_both_modes(golden: bytes) -> None:
    assert sequence_of(golden) == REQUEST.sequence


def test_a_request_that_is_too_short_for_a_session_number_has_none() -> None:
    assert (ssid_of(A), ssid_of(A[:43])) == (bytes.fromhex("1234"), bytes(2))


@pytest.mark.parametrize("key", [None, KEY])
def test_octets_past_the_base_are_kept(key: bytes | None) -> None:
    request = REQUEST._replace(extra=b"past the base")
    assert decode_request(encode_request(request, key), key) == request


def test_a_packet_without_its_last_octet_is_short() -> None:
    for golden, key in ((A, None), (C, KEY)):
        with pytest.raises(MessageError, match="short"):
            decode_request(golden[:-1], key)


@pytest.mark.parametrize(("octets", "ttl"), [(38, 0), (40, 0), (41, REPLY.sender_ttl), (43, REPLY.sender_ttl)])
def test_a_reply_of_twamp_light_is_taken_with_all_four_timestamps(octets: int, ttl: int) -> None:
    """RFC 5357 §4.2.1: the layout of STAMP, without a session identifier, and without the TTL in some responders."""
    cut = B[:14] + bytes(2) + B[16:octets]
    assert decode_reply(cut) == REPLY._replace(ssid=0, sender_ttl=ttl, light=True)


@pytest.mark.parametrize(("reply", "key", "least"), [(B[:37], None, 38), (b"", None, 38), (D[:111], KEY, 112)])
def test_a_reply_that_is_too_short_says_how_long_it_is(reply: bytes, key: bytes | None, least: int) -> None:
    sentence = f"short_reply: what answers sends {len(reply)} octets, and a reply has {least} or more"
    with pytest.raises(MessageError, match=sentence):
        decode_reply(reply, key)


def test_the_form_tells_a_reply_from_a_request() -> None:
    for request, reply, authenticated in ((A, B, False), (C, D, True)):
        assert is_reply(reply, authenticated=authenticated)
        assert not is_reply(request, authenticated=authenticated)
        assert is_plain_request(request, authenticated=authenticated)
        assert not is_plain_request(reply, authenticated=authenticated)
    assert is_reply(B[:38], authenticated=False)
    assert not is_reply(B[:37], authenticated=False)


def test_twamp_light_s_padding_is_no_reply_but_no_plain_request_either() -> None:
    padded = A[:14] + bytes(range(100, 130))
    assert not is_reply(padded, authenticated=False)
    assert not is_plain_request(padded, authenticated=False)


@pytest.mark.parametrize("position", [0, 5, 95, 96, 111])
def test_any_changed_octet_breaks_the_hmac_also_one_that_must_be_zero(position: int) -> None:
    forged = bytearray(D)
    forged[position] ^= 1
    with pytest.raises(MessageError, match="bad_hmac"):
        decode_reply(bytes(forged), KEY)


@given(st.binary(max_size=200), st.sampled_from([None, KEY]))
def test_any_bytes_are_a_packet_or_a_named_refusal(data: bytes, key: bytes | None) -> None:
    for decode in (decode_request, decode_reply):
        try:
            packet = decode(data, key)
        except MessageError as error:
            assert error.reason in {"short", "short_reply", "bad_hmac"}  # noqa: PT017 - either outcome is right
        else:
            decode_error(packet.error)
            assert isinstance(to_ns(packet.timestamp, packet.error), int)


def test_scapy_encodes_the_same_request_and_reply() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scapy's own deprecations
        from scapy.contrib import stamp  # noqa: PLC0415 - slow to import, and only for this test
    # scapy takes seconds since 1900.
    first, received, sent = (Fraction(raw, 2**32) for raw in (SENT, REPLY.received, REPLY.timestamp))
    ours = stamp.ErrorEstimate(S=1, Z=0, scale=0x14, multiplier=0x64)
    theirs = stamp.ErrorEstimate(S=1, Z=0, scale=0x15, multiplier=0x32)
    request = stamp.STAMPSessionSenderTestUnauthenticated(seq=1, ts=first, err_estimate=ours, ssid=0x1234)
    reply = stamp.STAMPSessionReflectorTestUnauthenticated(
        seq=7,
        ts=sent,
        err_estimate=theirs,
        ssid=0x1234,
        ts_rx=received,
        seq_sender=1,
        ts_sender=first,
        err_estimate_sender=ours,
        ttl_sender=254,
    )
    assert bytes(request) == A
    assert bytes(reply) == B


def test_times_are_what_they_say() -> None:
    assert ntp_from_ns(SENT_NS) == SENT
    assert ns_from_ntp(SENT) == SENT_NS
    assert to_ns(1_795_305_600 << 32 | 500_000_000, 0x4001) == SENT_NS


@given(st.integers(0, 2**32 * 10**9 - 1))
def test_every_nanosecond_until_2104_survives_both_formats(ns: int) -> None:
    seconds, rest = divmod(ns, 10**9)
    assert ns_from_ptp(seconds << 32 | rest) == ns
    assert ns_from_ntp(ntp_from_ns(ns)) == ns or ns >= (2**32 + 2**31 - 2_208_988_800) * 10**9


def test_the_ntp_era_of_2036_is_understood() -> None:
    ns = 2_085_978_496 * 10**9  # 2036-02-07T06:28:16Z, second 0 of era 1
    assert ntp_from_ns(ns) == 0
    assert ns_from_ntp(0) == ns


def test_error_estimates_are_scale_and_multiplier() -> None:
    assert decode_error(0x9464) == ErrorEstimate(synchronised=True, ptp=False, error_s=100 / 2**12)
    assert decode_error(0xC001) == ErrorEstimate(synchronised=True, ptp=True, error_s=2**-32)
    assert encode_error(100 / 2**12, synchronised=True) == 0x93C8  # 200 · 2^(19 − 32)
    assert encode_error(0, synchronised=False) == 0x0001


def test_a_multiplier_of_zero_is_corrupt() -> None:
    assert decode_error(0x9400) == ErrorEstimate(synchronised=False, ptp=False, error_s=None)


@given(st.floats(0, 2**38))
def test_an_encoded_error_is_never_smaller_and_hardly_larger(error_s: float) -> None:
    decoded = decode_error(encode_error(error_s, synchronised=True)).error_s
    assert decoded is not None
    assert error_s <= decoded <= max(error_s * 1.01, error_s + 2**-32)  # one unit of the smallest scale


def test_an_error_beyond_the_field_is_cut_to_the_largest() -> None:
    assert encode_error(1e300, synchronised=False) == 0x3FFF
