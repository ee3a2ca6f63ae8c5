"""A seed says what breaks, when and for how long."""

from __future__ import annotations

import itertools

from tests.chaos.schedule import FAULT_KINDS, plan

TARGETS = {
    "process": ["broker", "collector"],
    "way": ["probe a → broker"],
    "broker": ["broker"],
    "collector": ["collector"],
    "influx": ["influx"],
    "disk": ["a"],
}
GAP_S = (0.5, 1.5)


def test_the_same_seed_plans_the_same_faults() -> None:
    assert plan(7, 50, TARGETS, GAP_S) == plan(7, 50, TARGETS, GAP_S)
    assert plan(7, 50, TARGETS, GAP_S) != plan(8, 50, TARGETS, GAP_S)


def test_every_kind_comes_once_before_any_comes_again() -> None:
    planned = plan(7, len(FAULT_KINDS), TARGETS, GAP_S)
    assert {fault.kind for fault in planned} == set(FAULT_KINDS)


def test_faults_keep_their_gaps_and_their_kind_s_duration_and_targets() -> None:
    planned = plan(7, 100, TARGETS, GAP_S)
    assert [fault.number for fault in planned] == list(range(1, 101))
    gaps = [later.at_s - fault.at_s for fault, later in itertools.pairwise(planned)]
    assert GAP_S[0] <= min(gaps) <= max(gaps) <= GAP_S[1]
    for fault in planned:
        kind = FAULT_KINDS[fault.kind]
        assert kind.hold_s[0] <= fault.hold_s <= kind.hold_s[1]
        assert fault.target in TARGETS[kind.group]


def test_what_cannot_be_broken_here_is_left_out() -> None:
    planned = plan(7, 100, {**TARGETS, "disk": []}, GAP_S)
    assert {fault.kind for fault in planned} == set(FAULT_KINDS) - {"disk full", "read-only"}
