"""Links to sites behind NAT: the other direction stands for them, and the answer says so."""

from __future__ import annotations

import numpy as np
import pytest

from collector.linkstate.snapshot import Snapshot
from collector.routing.costs import forecast_goodputs
from collector.routing.route_question import RouteQuestion
from collector.routing.router import Router, mirrored
from collector.settings import RoutingSettings
from linkweather.mesh import Mesh
from linkweather.models.routes import NoRoute, Objective, RouteAnswer
from tests.collector.routing.deciding import decide_all
from tests.collector.routing.meshes import NAN

SITES = ("a", "b", "nat", "nat2")
BEHIND = np.array([False, False, True, True])
# Nothing is measured towards the last two; b is near everyone.
RTT_S = [[NAN, 0.01, NAN, NAN], [0.01, NAN, NAN, NAN], [0.06, 0.02, NAN, NAN], [0.07, 0.03, NAN, NAN]]
GOODPUT_BPS = [[NAN, 9e9, 1e9, 1e9], [9e9, NAN, 9e9, 9e9], [1e9, 9e9, NAN, NAN], [1e9, 9e9, NAN, NAN]]


def snapshot() -> Snapshot:
    rtt, loss = np.array(RTT_S), np.where(np.isfinite(RTT_S), 0.01, NAN)
    return Snapshot.of(SITES, rtt_p50_s=rtt, goodput_p50_bps=GOODPUT_BPS, loss_ratio=loss, owd_p50_s=rtt / 2)


def decided() -> Router:
    sites = {site: {"address": f"{site}.test", "nat": site.startswith("nat")} for site in SITES}
    router, now = Router(RoutingSettings(), Mesh.model_validate({"sites": sites})), snapshot()
    decide_all(router, now, goodputs=forecast_goodputs(now))
    return router


def ask(src: str, dst: str, objective: Objective) -> RouteAnswer | NoRoute:
    return decided().route(RouteQuestion(src=src, dst=dst, objective=objective))


def test_the_other_direction_stands_for_contact_rtt_and_loss_and_for_nothing_else() -> None:
    before = snapshot()
    after, stands = mirrored(before, BEHIND)
    assert np.argwhere(stands).tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]
    assert after.rtt_p50_s[0, 2] == 0.06
    assert after.usable[0, 2]
    assert after.loss_ratio[0, 2] == 0.01
    assert np.isnan(after.owd_p50_s[0, 2])
    assert after.goodput_p50_bps is before.goodput_p50_bps
    assert not after.usable[2, 3]  # both are behind NAT
    assert not before.usable[0, 2]


def test_what_was_measured_stays() -> None:
    before = snapshot()
    after, stands = mirrored(before, np.zeros(4, bool))
    assert after is before
    assert not stands.any()


@pytest.mark.parametrize("objective", ["latency", "goodput"])
def test_a_site_behind_nat_is_a_destination_and_its_answer_says_what_stands_for_what(objective: Objective) -> None:
    answer = ask("a", "nat", objective)
    assert isinstance(answer, RouteAnswer)
    assert answer.path.sites == ("a", "b", "nat")
    assert [(link.src, link.dst, link.rtt_of_reverse) for link in answer.inputs] == [
        ("a", "b", False),
        ("b", "nat", True),
        ("a", "nat", True),
    ]
    assert "; the RTT of b → nat is that of the other direction" in answer.why
    back = ask("nat", "a", objective)
    assert isinstance(back, RouteAnswer)
    assert "other direction" not in back.why


def test_a_site_behind_nat_relays_nothing_and_two_of_them_meet_at_one_that_is_not() -> None:
    answer = ask("nat", "nat2", "latency")
    assert isinstance(answer, RouteAnswer)
    assert answer.path.sites == ("nat", "b", "nat2")
    assert answer.direct is None
    assert "nat" not in {answer.path.sites[1], *(answer.runner_up.sites[1:-1] if answer.runner_up else ())}
