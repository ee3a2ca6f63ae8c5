from __future__ import annotations

import pytest

from linkweather.errors import OperatorError
from linkweather.lab.labfile import Behaviour
from linkweather.lab.protocol import ChangeLink, ShowLab, parse_request

BAD = {
    b"hello": "request: is not JSON",
    b"[1]": "request: do = None: must be one of show, change",
    b'{"do": "dance"}': "request: do = 'dance': must be one of show, change",
    b'{"do": "show", "loud": true}': "request: loud = true: no such key",
    b'{"do": "change", "src": "a"}': "request: dst: required, but missing",
    b'{"do": "change", "src": "a", "dst": "b", "loss_ratio": 2}': "request: loss_ratio = 2: must be at most 1",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_request_is_answered_with_a_sentence(line: bytes) -> None:
    with pytest.raises(OperatorError) as caught:
        parse_request(line)
    assert str(caught.value) == BAD[line]


def test_requests_are_told_apart() -> None:
    assert parse_request(b'{"do": "show"}') == ShowLab()
    assert parse_request(b'{"do": "change", "src": "a", "dst": "b", "cut": true}') == ChangeLink(
        src="a", dst="b", cut=True
    )


def test_change_touches_only_what_it_names() -> None:
    before = Behaviour(delay_s=0.01, rate_bps=1e8, loss_ratio=0.5)
    after = ChangeLink(src="a", dst="b", delay_s=0.02, loss_ratio=0.0).applied(before)
    assert after == Behaviour(delay_s=0.02, rate_bps=1e8, loss_ratio=0.0)


def test_change_that_makes_an_impossible_link_is_refused() -> None:
    with pytest.raises(OperatorError) as caught:
        ChangeLink(src="a", dst="b", jitter_s=0.02).applied(Behaviour(delay_s=0.01))
    assert str(caught.value) == "link a → b: jitter_s = 0.02: must be at most delay_s, which is 0.01"


def test_both_names_the_way_back() -> None:
    assert ChangeLink(src="a", dst="b", both=True).pairs() == [("a", "b"), ("b", "a")]
    assert ChangeLink(src="a", dst="b").pairs() == [("a", "b")]


def test_the_way_back_passes_the_routers_in_the_opposite_order() -> None:
    change = ChangeLink(src="a", dst="b", via=("r1", "r2"), both=True)
    before = Behaviour(delay_s=0.01)
    assert change.applied(before).via == ("r1", "r2")
    assert change.applied(before, back=True).via == ("r2", "r1")
