"""Changed conditions, link by link."""

from __future__ import annotations

import numpy as np

from collector.linkstate.snapshot import ConditionChanges, Snapshot

SITES = ("a", "b")


def snapshot(rtt_s: float, goodput_bps: float, *, sites: tuple[str, ...] = SITES, fresh: bool = True) -> Snapshot:
    return Snapshot.of(
        sites,
        rtt_p50_s=np.full((2, 2), rtt_s),
        goodput_p50_bps=np.full((2, 2), goodput_bps),
        fresh=np.full((2, 2), fresh),
    )


def test_the_first_snapshot_changes_nothing_and_an_equal_one_neither() -> None:
    conditions = ConditionChanges()
    assert list(conditions.changed(snapshot(0.01, np.nan))) == []
    assert len(conditions.changed(snapshot(0.02, np.nan))) == 0


def test_lost_contact_a_stale_link_and_a_first_goodput_are_changes() -> None:
    conditions = ConditionChanges()
    conditions.changed(snapshot(0.01, np.nan))
    for changed in (snapshot(np.nan, np.nan), snapshot(0.01, np.nan), snapshot(0.01, 1e6)):
        assert list(conditions.changed(changed)) == [("a", "b"), ("b", "a")]
    stale = conditions.changed(snapshot(0.01, 1e6, fresh=False))
    assert ("a", "b") in list(stale)


def test_with_other_sites_nobody_can_tell() -> None:
    conditions = ConditionChanges()
    conditions.changed(snapshot(0.01, np.nan))
    assert list(conditions.changed(snapshot(np.nan, np.nan, sites=("a", "c")))) == []
