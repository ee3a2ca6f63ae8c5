import numpy as np
import pytest

from collector.routing.arrays import DIRECT, NONE
from collector.routing.route_rule import Choices, Incumbents, RouteRule, choose, decide

INF = np.inf
RULE = RouteRule(margin=1.25, hysteresis=1.1)


def choices(
    direct: float = 10.0,
    relay: float = INF,
    *,
    bar: float | None = None,
    direct_sound: bool = True,
    held: bool = False,
    spare: int = NONE,
) -> Choices:
    """One pair; its best relay is site 7."""
    return Choices(
        direct=np.array([direct]),
        direct_sound=np.array([direct_sound]),
        held=np.array([held]),
        relay=np.array([7 if np.isfinite(relay) else NONE], dtype=np.int32),
        relay_weighed=np.array([relay]),
        bar=np.array([direct if bar is None else bar]),
        spare=np.array([spare], dtype=np.int32),
    )


def kept(via: int, cost: float, *, sound: bool = True) -> Incumbents:
    return Incumbents(via=np.array([via], dtype=np.int32), cost=np.array([cost]), sound=np.array([sound]))


@pytest.mark.parametrize(
    ("given", "via"),
    [
        (choices(10.0, 7.9), 7),  # 7.9 × 1.25 < 10
        (choices(10.0, 8.1), DIRECT),
        (choices(10.0, INF), DIRECT),
        (choices(INF, 50.0), 7),  # nothing to be better than
        (choices(10.0, 50.0, held=True), 7),  # direct came back too short a time ago
        (choices(10.0, INF, held=True, spare=3), DIRECT),  # and is better than what cannot be relied on
        (choices(INF, INF, spare=3), 3),
        (choices(INF, INF), NONE),
        # Against a relay direct may count for more than its expected cost.
        (choices(10.0, 6.1, bar=6.0), DIRECT),
        (choices(10.0, 5.9, bar=6.0), 7),
    ],
)
def test_path_without_a_past(given: Choices, via: int) -> None:
    assert choose(given, RULE).tolist() == [via]


@pytest.mark.parametrize(
    ("given", "standing", "via"),
    [
        # Direct stands: a relay must beat it by margin and hysteresis.
        (choices(10.0, 7.3), kept(DIRECT, 10.0), DIRECT),  # 7.3 × 1.25 × 1.1 > 10
        (choices(10.0, 7.2), kept(DIRECT, 10.0), 7),
        (choices(10.0, 5.5, bar=6.0), kept(DIRECT, 10.0), DIRECT),  # 5.5 × 1.1 > 6
        (choices(10.0, 5.4, bar=6.0), kept(DIRECT, 10.0), 7),
        # A relay stands: it stays while direct, counted as better by the margin, does not beat it by the hysteresis.
        (choices(10.0, INF), kept(4, 8.7), 4),  # 8.7 × 1.25 < 10 × 1.1
        (choices(10.0, INF), kept(4, 8.9), DIRECT),
        (choices(10.0, INF, held=True), kept(4, 50.0), 4),
        # Another relay must beat it by the hysteresis, and direct by the margin.
        (choices(10.0, 6.4), kept(4, 7.0), 4),
        (choices(10.0, 6.3), kept(4, 7.0), 7),
        (choices(10.0, 8.1), kept(4, 8.7), 4),
    ],
)
def test_what_stands_is_kept_by_the_hysteresis(given: Choices, standing: Incumbents, via: int) -> None:
    found, holds = decide(given, standing, RULE)
    assert found.tolist() == [via]
    assert holds.tolist() == [True]


@pytest.mark.parametrize(
    ("given", "standing", "via"),
    [
        (choices(10.0, 9.9), kept(4, INF), DIRECT),  # failed; the margin holds for the next relay
        (choices(10.0, 7.9), kept(4, INF), 7),
        (choices(INF, 90.0), kept(DIRECT, INF), 7),  # however bad the only other path is
        (choices(INF, INF), kept(4, INF), NONE),
        (choices(10.0, INF), kept(4, 2.0, sound=False), DIRECT),  # stale: direct is preferred
        (choices(INF, 90.0), kept(4, 2.0, sound=False), 7),  # and so is a relay that is not
    ],
)
def test_what_fails_is_left_at_once(given: Choices, standing: Incumbents, via: int) -> None:
    found, holds = decide(given, standing, RULE)
    assert found.tolist() == [via]
    assert holds.tolist() == [False]


def test_stale_path_stays_beside_a_direct_link_that_is_as_stale() -> None:
    via, holds = decide(choices(10.0, INF, direct_sound=False), kept(4, 2.0, sound=False), RULE)
    assert (via.tolist(), holds.tolist()) == ([4], [True])


def test_stale_path_stays_while_there_is_nothing_else() -> None:
    found, holds = decide(choices(INF, INF, spare=9), kept(4, 2.0, sound=False), RULE)
    assert found.tolist() == [4]
    assert holds.tolist() == [True]


def test_without_hysteresis_a_relay_as_good_takes_the_place() -> None:
    found, holds = decide(choices(10.0, 7.0), kept(4, 7.0), RouteRule(margin=1.25, hysteresis=1.0))
    assert found.tolist() == [7]
    assert holds.tolist() == [True]
