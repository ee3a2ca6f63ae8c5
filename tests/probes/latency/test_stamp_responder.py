"""What a reflector answers, drops and counts; keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkweather.errors import MessageError
from probes.latency.stamp_packet import StampReply, StampRequest, decode_reply, depart, encode_request
from probes.latency.stamp_responder import StampResponder

KEY = bytes(range(32))
SOURCE = ("192.0.2.1", 5000)


def answer(
    responder: StampResponder, data: bytes, source: tuple[str, int] = SOURCE, now: float = 0.0, key: bytes | None = None
) -> bytes:
    reply = responder.answer(data, source, now, 0, ttl=9, error=1)
    depart(reply, 0, key)
    return bytes(reply)


def replied(
    responder: StampResponder, data: bytes, source: tuple[str, int] = SOURCE, key: bytes | None = None
) -> StampReply:
    return decode_reply(answer(responder, data, source, key=key), key)


def sequence(responder: StampResponder, number: int = 1, source: tuple[str, int] = SOURCE, ssid: int = 5) -> int:
    return replied(responder, encode_request(StampRequest(number, 2, 3, ssid)), source).sequence


def refusal(
    responder: StampResponder, data: bytes, source: tuple[str, int] = SOURCE, *, truncated: bool = False
) -> str:
    with pytest.raises(MessageError) as caught:
        responder.answer(data, source, 0.0, 0, ttl=0, error=1, truncated=truncated)
    return caught.value.reason


@pytest.mark.parametrize("key", [None, KEY])
def test_the_reply_carries_the_request_and_is_as_long(key: bytes | None) -> None:
    responder = StampResponder(8620, key=key)
    extra = bytes.fromhex("00010002abcd")  # padding, as it comes back
    data = encode_request(StampRequest(9, 2, 3, 5, extra), key)
    raw = responder.answer(data, SOURCE, 0.0, 10, ttl=63, error=7)
    depart(raw, 30, key)
    assert len(raw) == len(data)
    assert decode_reply(bytes(raw), key) == (0, 30, 7, 5, 10, 9, 2, 3, 63, extra, False)


def test_a_stateful_reflector_counts_replies_per_session() -> None:
    responder = StampResponder(8620)
    assert [sequence(responder, number) for number in (1, 2, 7)] == [0, 1, 2]
    assert sequence(responder, source=("192.0.2.1", 5001)) == 0
    assert sequence(responder, ssid=6) == 0


def test_a_stateless_reflector_copies_the_sequence() -> None:
    assert sequence(StampResponder(8620, stateless=True), 77) == 77


def test_the_least_recently_used_session_goes_first() -> None:
    responder = StampResponder(8620, max_sessions=2)
    addresses = [("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.1", 1), ("192.0.2.3", 1), ("192.0.2.1", 1)]
    assert [sequence(responder, source=source) for source in addresses] == [0, 0, 1, 0, 2]
    assert sequence(responder, source=("192.0.2.2", 1)) == 0


def test_hostile_datagrams_are_dropped_by_reason() -> None:
    responder = StampResponder(8620, key=KEY)
    good = encode_request(StampRequest(1, 2, 3, 4), KEY)
    assert refusal(responder, good[:-1]) == "short"
    assert refusal(responder, good[:-1] + b"\0") == "bad_hmac"
    assert refusal(responder, good + bytes(1472)) == "oversize"
    assert refusal(responder, good, truncated=True) == "oversize"


NOW = 0xEEACAF00 << 32


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("port", [862, 8620, 5000])
def test_two_reflectors_do_not_answer_each_other_whatever_their_ports(port: int, key: bytes | None) -> None:
    """A request that is forged in the other reflector's name gets one reply, and the reply none."""
    here, there = StampResponder(8620, key=key), StampResponder(port, key=key)
    forged = encode_request(StampRequest(1, NOW, 3, 4), key)
    reply = here.answer(forged, ("192.0.2.2", port), 0.0, NOW, ttl=9, error=1)
    depart(reply, NOW + 1000, key)
    assert refusal(there, bytes(reply), ("192.0.2.1", 8620)) == "loop"


def test_a_reply_of_twamp_light_is_not_answered_where_short_requests_are() -> None:
    allow = ["192.0.2.0/24"]
    reply = StampResponder(9000, allow=allow).answer(bytes(14), ("192.0.2.2", 9001), 0.0, NOW, ttl=9, error=1)
    depart(reply, NOW + 1000, None)
    assert len(reply) == 41
    assert refusal(StampResponder(9001, allow=allow), bytes(reply), ("192.0.2.1", 9000)) == "loop"


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("port", [862, 8620])
def test_from_the_port_of_a_reflector_what_is_a_request_in_every_octet_is_answered(
    port: int, key: bytes | None
) -> None:
    """stamp-suite sends from port 862."""
    responder = StampResponder(8620, key=key)
    request = encode_request(StampRequest(9, NOW, 3, 5), key)
    assert replied(responder, request, ("192.0.2.1", port), key).sender_sequence == 9
    padded = encode_request(StampRequest(9, NOW, 3, 5))[:14] + bytes(range(100, 130))
    if key is None:
        assert replied(responder, padded).sender_sequence == 9
        assert refusal(responder, padded, ("192.0.2.1", port)) == "loop"


def test_a_source_has_a_rate_and_others_have_theirs() -> None:
    responder = StampResponder(8620, rate_per_s=2)
    data = encode_request(StampRequest(1, 2, 3, 4))
    for _ in range(2):
        answer(responder, data)
    assert refusal(responder, data) == "rate"
    answer(responder, data, ("192.0.2.2", 5000))
    answer(responder, data, now=0.5)


def test_unknown_tlvs_come_back_flagged_and_are_counted() -> None:
    responder = StampResponder(8620)
    request = StampRequest(1, 2, 3, 4, bytes.fromhex("80020001ff 80010000 8001ff"))
    assert replied(responder, encode_request(request)).extra.hex() == "80020001ff000100004001ff"
    answer(responder, encode_request(request._replace(extra=bytes(100))))
    assert responder.flagged == {"tlv_unrecognised": 1, "tlv_malformed": 1}


def test_in_authenticated_mode_tlvs_without_an_hmac_are_not_used() -> None:
    responder = StampResponder(8620, key=KEY)
    request = StampRequest(1, 2, 3, 4, bytes.fromhex("80020001ff"))
    assert replied(responder, encode_request(request, KEY), key=KEY).extra.hex() == "a0020001ff"
    assert responder.flagged == {"tlv_unverified": 1}


def test_only_allowed_prefixes_are_answered_and_those_may_send_the_short_requests_of_twamp_light() -> None:
    short = encode_request(StampRequest(9, 2, 3, 0xFFFF))[:14]
    open_to_all = StampResponder(8620)
    assert refusal(open_to_all, short) == "short"
    assert (
        refusal(StampResponder(8620, allow=[], key=KEY), encode_request(StampRequest(1, 2, 3, 4), KEY)) == "not_allowed"
    )
    responder = StampResponder(8620, allow=["192.0.2.0/24"])
    assert refusal(responder, short, ("198.51.100.1", 5000)) == "not_allowed"
    assert refusal(responder, short[:13]) == "short"
    reply = answer(responder, short)
    # The 41 octets of RFC 5357 §4.2.1; what is left out of ours must be zero.
    assert len(reply) == 41
    assert decode_reply(reply)._replace(timestamp=0, received=0) == (0, 0, 1, 0, 0, 9, 2, 3, 9, b"", True)
    assert len(answer(responder, short + b"random padding and more of it")) == 43
    assert len(answer(responder, short + bytes(30))) == 44


def test_with_a_key_nobody_may_send_short_requests() -> None:
    assert refusal(StampResponder(8620, allow=["192.0.2.0/24"], key=KEY), bytes(44)) == "short"


def test_an_authenticated_request_is_answered_once_by_a_stateful_reflector() -> None:
    data = encode_request(StampRequest(1, 2, 3, 4), KEY)
    responder = StampResponder(8620, key=KEY)
    answer(responder, data)
    assert refusal(responder, data) == "replay"
    answer(responder, encode_request(StampRequest(2, 2, 3, 4), KEY))
    answer(responder, data, ("192.0.2.1", 5001))  # another session
    for forgetful in (StampResponder(8620, key=KEY, stateless=True), StampResponder(8620)):
        plain = data if forgetful._keys else encode_request(StampRequest(1, 2, 3, 4))
        assert [len(answer(forgetful, plain)) for _ in range(2)] == [len(plain)] * 2


@given(st.binary(max_size=1600), st.sampled_from([None, KEY]), st.sampled_from([None, ("192.0.2.0/24",)]))
def test_any_datagram_is_answered_no_longer_than_allowed_or_refused_by_name(
    data: bytes, key: bytes | None, allow: tuple[str, ...] | None
) -> None:
    responder = StampResponder(8620, key=key, allow=allow)
    try:
        reply = answer(responder, data)
    except MessageError as error:
        assert error.reason in {"oversize", "short", "bad_hmac"}  # noqa: PT017 - either outcome is right
    else:
        assert len(reply) == max(len(data), 41 if allow else 44)


@given(st.binary(max_size=200))
def test_any_extra_behind_a_signed_request_is_answered_as_long(extra: bytes) -> None:
    data = encode_request(StampRequest(1, 2, 3, 4, extra), KEY)
    assert len(answer(StampResponder(8620, key=KEY), data)) == len(data)


def test_while_a_key_is_changed_requests_of_both_are_answered_each_by_its_own() -> None:
    other = bytes(32)
    responder = StampResponder(8620, key=KEY)
    responder.set_keys((other, KEY))
    for number, key in enumerate((KEY, other, KEY)):
        reply = responder.answer(encode_request(StampRequest(number, 2, 3, 4), key), SOURCE, 0.0, 0, ttl=9, error=1)
        depart(reply, 9, responder.key)
        assert decode_reply(bytes(reply), key).sender_sequence == number
    responder.set_keys((other,))
    with pytest.raises(MessageError, match="bad_hmac"):
        answer(responder, encode_request(StampRequest(9, 2, 3, 4), KEY))
    responder.set_keys((KEY, other))
    with pytest.raises(MessageError, match="bad_hmac"):
        answer(responder, encode_request(StampRequest(9, 2, 3, 4), bytes(range(1, 33))))


def test_the_mesh_s_other_reflectors_have_their_ports() -> None:
    responder = StampResponder(8620)
    padded = encode_request(StampRequest(9, NOW, 3, 5))[:14] + bytes(range(100, 130))
    assert replied(responder, padded, ("192.0.2.1", 9000)).sender_sequence == 9
    responder.follow((), {9000})
    assert refusal(responder, padded, ("192.0.2.1", 9000)) == "loop"
    assert refusal(responder, padded, ("192.0.2.1", 8620)) == "loop"


@pytest.mark.parametrize("same_port", [True, False])
def test_who_sends_in_a_peer_s_name_does_not_use_up_its_replies(*, same_port: bool) -> None:
    """40,000 a second for 3 s, under one session of the peer's address or under ever new ones; the peer sends 10."""
    responder = StampResponder(8620)
    responder.follow({"192.0.2.1"}, ())
    request, hostile = (encode_request(StampRequest(1, 2, 3, ssid)) for ssid in (5, 6))
    answered = dict.fromkeys(("peer", "hostile"), 0)
    for number in range(120_000):
        now = number / 40_000
        port = SOURCE[1] if same_port else 1024 + number % 60_000
        for name, data, due in (("peer", request, number % 4000 == 0), ("hostile", hostile, True)):
            if due:
                try:
                    responder.answer(data, (SOURCE[0], SOURCE[1] if name == "peer" else port), now, 0, ttl=9, error=1)
                except MessageError as error:
                    assert error.reason == "rate"  # noqa: PT017 - either outcome is right
                else:
                    answered[name] += 1
    assert answered["peer"] == 30
    assert answered["hostile"] < 70_000  # 10,000 a second, a burst of as many, and what sessions have of their own


def test_a_peer_s_session_has_a_rate_as_well() -> None:
    responder = StampResponder(8620)
    responder.follow({SOURCE[0]}, ())
    data = encode_request(StampRequest(1, 2, 3, 4))
    reasons = [sequence_or_reason(responder, data) for _ in range(1002)]
    assert reasons.count("rate") == 2  # the first draws on the address as well


def sequence_or_reason(responder: StampResponder, data: bytes) -> str | None:
    try:
        responder.answer(data, SOURCE, 0.0, 0, ttl=0, error=1)
    except MessageError as error:
        return error.reason
    return None
