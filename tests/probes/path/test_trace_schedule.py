from __future__ import annotations

import itertools

import pytest

from probes.path.trace_schedule import Turn, next_turn


def turn(peers: list[str], traced: dict[str, float], every_s: float = 300.0) -> Turn | None:
    return next_turn(peers, traced, every_s, began=1000.0, share=0.5)


def test_first_turn_is_within_half_a_minute() -> None:
    assert turn(["b"], {}) == Turn(1015.0, "b")
    # Ten seconds are all that one of six peers has of a minute.
    assert turn(list("bcdefg"), {}, 60.0) == Turn(1005.0, "b")


def test_new_peers_come_first_half_a_minute_apart() -> None:
    assert turn(["b", "c"], {"b": 2000.0}) == Turn(2030.0, "c")


def test_known_peers_share_the_period_evenly() -> None:
    assert turn(["b", "c", "d"], {"b": 2000.0, "c": 2030.0, "d": 2060.0}) == Turn(2160.0, "b")


def test_nobody_to_trace_is_no_turn() -> None:
    assert turn([], {}) is None


def test_every_peer_has_its_turn_once_in_a_period() -> None:
    peers, traced, now = list("bcdef"), dict[str, float](), 1000.0
    starts: dict[str, list[float]] = {peer: [] for peer in peers}
    while now < 5000.0:
        due = turn(peers, traced)
        assert due is not None
        now = max(now, due.at)
        traced[due.peer] = now
        starts[due.peer].append(now)
    for times in starts.values():
        gaps = [late - early for early, late in itertools.pairwise(times[1:])]
        assert gaps == [pytest.approx(300.0)] * len(gaps)
        assert len(gaps) >= 10
