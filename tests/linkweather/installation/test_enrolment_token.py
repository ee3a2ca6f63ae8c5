"""A token survives a terminal and an editor, and what is none is said to be none without repeating it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkweather.errors import OperatorError
from linkweather.installation.enrolment_token import EnrolmentToken

hosts = st.one_of(st.ip_addresses().map(str), st.from_regex(r"[a-z][a-z0-9-]{0,20}\.example", fullmatch=True))


@given(st.binary(min_size=32, max_size=32), hosts, st.integers(1, 65535))
def test_what_is_printed_is_read(fingerprint: bytes, host: str, port: int) -> None:
    token = EnrolmentToken.new(fingerprint, host, port)
    assert EnrolmentToken.parse(f" {token}\n") == token


def test_two_tokens_share_nothing() -> None:
    one, other = (EnrolmentToken.new(bytes(32), "a.example", 1) for _ in range(2))
    assert one.id != other.id
    assert one.secret != other.secret


def test_a_log_shows_no_secret() -> None:
    token = EnrolmentToken.new(bytes(32), "a.example", 1)
    assert token.secret.hex() not in repr(token)
    assert str(token) not in repr(token)


@pytest.mark.parametrize("change", ["cut", "swap", "prefix", "long", "empty", "letters"])
def test_a_damaged_token_is_refused_without_being_repeated(change: str) -> None:
    text = str(EnrolmentToken.new(bytes(range(32)), "a.example", 8486))
    damaged = {
        "cut": text[:-5],
        "swap": text[:30] + ("A" if text[30] != "A" else "B") + text[31:],
        "prefix": text[1:],
        "long": text + "A" * 1000,
        "empty": "lw1-",
        "letters": text[:20] + "ü!" + text[22:],
    }[change]
    with pytest.raises(OperatorError, match="not whole") as caught:
        EnrolmentToken.parse(damaged)
    assert damaged[10:40] not in str(caught.value) or not damaged[10:40]
