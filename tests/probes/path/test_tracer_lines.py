from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkweather.errors import MessageError
from linkweather.wire import encode
from probes.path.tracer_lines import Begun, Done, Failed, HopSample, Line, parse

BAD = {
    b"WARNING: No route found": "malformed: is not JSON",
    b"": "malformed: is not JSON",
    b"[1]": "unknown_line: None",
    b'{"line":"dance"}': "unknown_line: dance",
    b'{"line":"sample","flow":9,"ttl":1,"outcome":"lost"}': "impossible: flow: Input should be less than 8",
    b'{"line":"done","path_mtu_bytes":7}': ("impossible: path_mtu_bytes: Input should be greater than or equal to 68"),
    b"[" * 100_000: "malformed: is not JSON",
}


@pytest.mark.parametrize("text", BAD, ids=[text[:30].decode() for text in BAD])
def test_line_that_is_none_of_the_tracers_is_refused(text: bytes) -> None:
    with pytest.raises(MessageError) as caught:
        parse(text)
    assert str(caught.value) == BAD[text]


@pytest.mark.parametrize(
    "line",
    [
        Begun(address="192.0.2.1"),
        HopSample(flow=1, ttl=3, outcome="exceeded", address="192.0.2.7", rtt_s=0.25, labels=(16, 17)),
        HopSample(flow=0, ttl=30, outcome="lost"),
        Done(path_mtu_bytes=1500),
        Done(),
        Failed(failure="missing", detail="the library"),
    ],
)
def test_line_is_read_as_it_was_written(line: Line) -> None:
    assert parse(encode(line)) == line


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with pytest.raises(MessageError):
        parse(data)
