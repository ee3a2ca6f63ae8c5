import math
from typing import Any

import pytest

from collector.routing.route_question import RouteQuestion, RouteQuestionError


@pytest.mark.parametrize(
    ("wrong", "field", "sentence"),
    [
        ({"dst": "gz"}, "dst", "dst: 'gz' is the source too: a path joins two different sites"),
        ({"objective": "speed"}, "objective", "objective: 'speed' is none of latency, goodput, completion"),
        ({"objective": "completion"}, "bytes", "bytes: a completion time needs a number of bytes"),
        ({"bytes": 0.0}, "bytes", "bytes: 0: must be above 0 and at most 1e+18"),
        ({"bytes": -5.0}, "bytes", "bytes: -5: must be above 0 and at most 1e+18"),
        ({"bytes": 2e18}, "bytes", "bytes: 2e+18: must be above 0 and at most 1e+18"),
        ({"bytes": math.nan}, "bytes", "bytes: nan: must be above 0 and at most 1e+18"),
        ({"relay_mode": "copy"}, "relay_mode", "relay_mode: 'copy' is none of split, forward"),
        ({"max_relays": 3}, "max_relays", "max_relays: 3 is none of 0, 1, 2"),
        ({"max_relays": -1}, "max_relays", "max_relays: -1 is none of 0, 1, 2"),
        (
            {"max_price_usd_per_gb": -0.1},
            "max_price_usd_per_gb",
            "max_price_usd_per_gb: -0.1: must be a finite number, 0 or more",
        ),
        (
            {"max_price_usd_per_gb": math.nan},
            "max_price_usd_per_gb",
            "max_price_usd_per_gb: nan: must be a finite number, 0 or more",
        ),
    ],
)
def test_mistake_is_said_with_its_field(wrong: dict[str, Any], field: str, sentence: str) -> None:
    with pytest.raises(RouteQuestionError) as refused:
        RouteQuestion(**{"src": "gz", "dst": "gs", **wrong})
    assert refused.value.field == field
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("src", "dst", "avoid", "sentence"),
    [
        ("xx", "gs", [], "src: no site 'xx'; the mesh has gs, gz"),
        ("gz", "xx", [], "dst: no site 'xx'; the mesh has gs, gz"),
        ("gz", "gs", ["xx"], "avoid: no site 'xx'; the mesh has gs, gz"),
    ],
)
def test_unknown_site_is_named_beside_those_that_are(src: str, dst: str, avoid: list[str], sentence: str) -> None:
    with pytest.raises(RouteQuestionError, match=sentence):
        RouteQuestion(src=src, dst=dst, avoid=frozenset(avoid)).check_sites(["gs", "gz"])


def test_question_of_known_sites_is_good() -> None:
    question = RouteQuestion(src="gz", dst="gs", objective="completion", bytes=1e18, max_price_usd_per_gb=0.0)
    question.check_sites(["gs", "gz"])
    assert question.conditional
    assert not RouteQuestion(src="gz", dst="gs").conditional
