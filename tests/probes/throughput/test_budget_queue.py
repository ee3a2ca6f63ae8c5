"""Who waits for a site's budget, and who leaves it to whom: by hand, and with the agenda and the store of a site."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from linkweather.mesh import UNLIMITED_BYTES, Mesh, Site, ThroughputTests
from linkweather.wire import ThroughputRow
from probes.throughput.agenda import Agenda
from probes.throughput.attention import Attention
from probes.throughput.budget import BURST_SHARE, DAY_S, BudgetStore
from probes.throughput.budget_queue import BudgetQueue

ROUND_S = 100.0
DEAR, CHEAP, OTHER = ("d", "a"), ("c", "a"), ("o", "a")
NOON_S = 1.7957e9
GB = 10**9


def queue_of() -> BudgetQueue:
    queue = BudgetQueue()
    queue.apply_sites(frozenset("acdo"), ROUND_S)
    return queue


def test_who_was_tested_since_leaves_what_the_longest_waiter_needs_once_that_has_waited_for_a_round() -> None:
    queue = queue_of()
    queue.refused(0.0, DEAR, 50.0)
    queue.tested(10.0, CHEAP)
    queue.refused(20.0, OTHER, 7.0)
    assert queue.owed_bytes(99.0, CHEAP) == 0.0
    assert queue.owed_bytes(100.0, CHEAP) == 50.0
    queue.refused(110.0, DEAR, 60.0)
    assert queue.owed_bytes(120.0, CHEAP) == 60.0
    assert queue.owed_bytes(120.0, DEAR) == 0.0


def test_who_was_not_tested_since_goes_first_once() -> None:
    queue = queue_of()
    queue.tested(-1.0, CHEAP)
    queue.refused(0.0, DEAR, 50.0)
    assert queue.owed_bytes(100.0, CHEAP) == queue.owed_bytes(100.0, OTHER) == 0.0
    queue.tested(101.0, CHEAP)
    assert (queue.owed_bytes(102.0, CHEAP), queue.owed_bytes(102.0, OTHER)) == (50.0, 0.0)


def test_who_is_tested_or_does_not_try_any_more_is_not_waited_for() -> None:
    queue = queue_of()
    queue.refused(0.0, DEAR, 50.0)
    queue.tested(1.0, CHEAP)
    assert [queue.owed_bytes(now_s, CHEAP) for now_s in (800.0, 801.0)] == [50.0, 0.0]
    queue.declined(810.0, DEAR)
    queue.declined(810.0, OTHER)  # which does not wait
    assert [queue.owed_bytes(now_s, CHEAP) for now_s in (1610.0, 1611.0)] == [50.0, 0.0]
    queue.refused(1620.0, DEAR, 50.0)
    queue.tested(1621.0, DEAR)
    assert queue.owed_bytes(1622.0, CHEAP) == 0.0


def test_a_site_that_leaves_the_mesh_is_not_waited_for() -> None:
    queue = queue_of()
    queue.refused(0.0, DEAR, 50.0)
    queue.tested(1.0, CHEAP)
    queue.apply_sites(frozenset("acd"), ROUND_S)
    assert queue.owed_bytes(200.0, CHEAP) == 50.0
    queue.apply_sites(frozenset("ac"), ROUND_S)
    assert queue.owed_bytes(200.0, CHEAP) == 0.0


def test_a_clock_that_was_set_back_keeps_no_one_waited_for_from_the_future() -> None:
    queue = queue_of()
    queue.refused(1000.0, DEAR, 50.0)
    queue.tested(1001.0, CHEAP)
    assert queue.owed_bytes(500.0, CHEAP) == 0.0
    queue.refused(500.0, DEAR, 50.0)
    assert queue.owed_bytes(600.0, CHEAP) == 50.0


@pytest.mark.parametrize("every_s", [0.0, 600.0])
def test_all_links_are_tested_before_any_is_tested_a_third_time(tmp_path: Path, every_s: float) -> None:
    names = [f"s{number:02}" for number in range(16)]
    # In an hour comes in what one first test moves, a quarter of the bucket.
    first_bytes = GB
    bucket_bytes, of_day = 4 * first_bytes, int(DAY_S / 3600 * first_bytes / (1 - BURST_SHARE))
    assert of_day * BURST_SHARE == pytest.approx(bucket_bytes, rel=0.2)
    sites = {name: Site(address=f"10.0.0.{number}") for number, name in enumerate(names, 1)}
    sites["s00"] = sites["s00"].model_copy(update={"budget_bytes_per_day": of_day})
    tests = ThroughputTests(every_s=every_s, slot_s=4.0, budget_bytes_per_day=UNLIMITED_BYTES)
    agenda, attention = Agenda(Mesh(sites=sites, throughput=tests), "s00"), Attention(random.Random(1))
    agenda.apply_to(attention)
    budgets = BudgetStore(tmp_path / "ledger.sqlite", "s00")
    budgets.apply_mesh(agenda.mesh, agenda.round_s)
    tested, now_s = Counter[str](), NOON_S
    while max(tested.values(), default=0) < 3 and now_s < NOON_S + 3 * DAY_S:
        planned = agenda.upcoming(now_s, attention)
        assert planned is not None
        now_s, src = planned.start_s, planned.src
        asked = budgets.ask(src, "s00")
        reservation = budgets.reserve(now_s, src, "s00", asked, keep=True)
        if reservation is None:
            attention.postponed(src, now_s + 5.0, "budget")
            continue
        # A third of the links are slow: tested once, they ask for little.
        moved_bytes = min(asked or 0, first_bytes // 30 if int(src[1:]) % 3 == 0 else first_bytes)
        tested[src] += 1
        budgets.settle(reservation, src, "s00", moved_bytes)
        goodput_bps = moved_bytes * 8.0 * random.Random(now_s).uniform(0.5, 1.5)  # no quiet link
        attention.tested(now_s + 1.0, ThroughputRow(src=src, dst="s00", method="iperf3", goodput_bps=goodput_bps))
    budgets.close()
    assert len(tested) == 15
