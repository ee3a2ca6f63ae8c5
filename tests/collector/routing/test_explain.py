"""What a route's sentence says of its figures."""

from __future__ import annotations

import pytest

from collector.routing.explain import RouteReason, route_sentence
from linkweather.models.routes import PathExpectation


def path(*sites: str, rtt_s: float) -> PathExpectation:
    return PathExpectation(sites=sites, rtt_p50_s=rtt_s)


@pytest.mark.parametrize(
    ("margin", "said"),
    [
        (1.68, "(1.7 times better, inputs 1 s old)"),
        (1.1, "(1.1 times better, inputs 1 s old)"),
        (1.008, "(0.8 % better, inputs 1 s old)"),
        (1.0, "(0.0 % better, inputs 1 s old)"),
        (0.98, "(0.98 times as good, inputs 1 s old)"),
    ],
)
def test_small_gain_is_said_in_per_cent(margin: float, said: str) -> None:
    reason = RouteReason(
        objective="latency",
        path=path("a", "r", "b", rtt_s=0.01),
        direct=path("a", "b", rtt_s=0.01 * margin),
        runner_up=None,
        gain_ratio=margin,
        needed=1.02,
        oldest_s=1.0,
    )
    assert said in route_sentence(reason)


@pytest.mark.parametrize(("alone", "said"), [(True, "the question allows no relay."), (False, "no relay can be used.")])
def test_direct_without_any_relay_says_whether_that_was_asked_for(*, alone: bool, said: str) -> None:
    direct = path("a", "b", rtt_s=0.01)
    reason = RouteReason(
        objective="latency",
        path=direct,
        direct=direct,
        runner_up=None,
        gain_ratio=1.0,
        needed=1.02,
        oldest_s=1.0,
        alone=alone,
    )
    assert route_sentence(reason) == f"a → b direct: RTT 10.0 ms (inputs 1 s old); {said}"
