from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from linkweather.mesh import UNLIMITED_BYTES, Mesh, Site, ThroughputTests
from linkweather.wire import ThroughputRow
from probes.throughput.budget import (
    BLOCK_BYTES,
    DAY_S,
    MIN_TEST_BYTES,
    Allowance,
    BudgetStore,
    LastTest,
    charged_bytes,
    wanted_bytes,
)

NOW_S = 1.7e9
MB = 10**6
BUDGET = 800 * MB  # at once 100 MB, and 700 MB in a day


def test_a_new_bucket_is_full_and_holds_an_eighth_of_the_day() -> None:
    assert Allowance(BUDGET).left_bytes(NOW_S) == 100 * MB


def test_what_is_spent_comes_back_evenly_over_the_day() -> None:
    bucket = Allowance(BUDGET).spent(NOW_S, 100 * MB)
    assert bucket.left_bytes(NOW_S) == 0
    assert bucket.left_bytes(NOW_S + DAY_S / 14) == pytest.approx(50 * MB, abs=2)
    assert bucket.left_bytes(NOW_S + DAY_S) == 100 * MB


def test_spending_adds_up() -> None:
    bucket = Allowance(BUDGET).spent(NOW_S, 30 * MB).spent(NOW_S, 20 * MB)
    assert bucket.left_bytes(NOW_S) == pytest.approx(50 * MB, abs=200)


def test_in_no_24_hours_goes_more_than_the_budget() -> None:
    rng, bucket, now_s = random.Random(1), Allowance(BUDGET), NOW_S
    spent: list[tuple[float, int]] = []
    while now_s < NOW_S + 3 * DAY_S:
        # Idle for hours, then as greedy as can be: the worst that the allowance can be put to.
        now_s += rng.choice([1.0, 60.0, 3 * 3600.0])
        count = bucket.left_bytes(now_s)
        bucket = bucket.spent(now_s, count)
        spent.append((now_s, count))
    windows = [sum(count for at, count in spent if start <= at < start + DAY_S) for start, _ in spent]
    assert 0.85 * BUDGET < max(windows) <= BUDGET


def test_a_clock_that_was_set_back_finds_an_empty_bucket_that_fills_again() -> None:
    bucket = Allowance(BUDGET).spent(NOW_S, 50 * MB)
    long_ago_s = NOW_S - 365 * DAY_S
    assert bucket.left_bytes(long_ago_s) == 0
    bucket = bucket.spent(long_ago_s, 0)
    assert bucket.left_bytes(long_ago_s + DAY_S) == 100 * MB


@pytest.mark.parametrize(
    ("last", "bytes_wanted"),
    [
        (None, 25 * MB),  # a quarter of what there is at once
        (LastTest(20 * MB, limited=False), 30 * MB),
        (LastTest(20 * MB, limited=True), 40 * MB),
        (LastTest(90 * MB, limited=False), 75 * MB),  # a quarter stays for what is brought forward
        (LastTest(1000, limited=False), MIN_TEST_BYTES),
    ],
)
def test_a_test_asks_for_what_the_last_one_took_and_some_more(last: LastTest | None, bytes_wanted: int) -> None:
    assert wanted_bytes(last, 100 * MB) == bytes_wanted


def row(**fields: object) -> ThroughputRow:
    return ThroughputRow.model_validate({"src": "a", "dst": "b", "method": "iperf3", **fields})


@pytest.mark.parametrize(
    ("found", "limit", "charged"),
    [
        (row(goodput_bps=1e8, bytes=5 * MB), 10 * MB, 5 * MB + BLOCK_BYTES),
        (row(goodput_bps=1e8, bytes=10 * MB), 10 * MB, 10 * MB),
        (row(goodput_bps=1e8, bytes=5 * MB), None, 5 * MB),
        (row(failure="no_answer"), 10 * MB, 0),
        (row(failure="died"), 10 * MB, 10 * MB),  # nobody knows what it moved
        (row(failure="died"), None, 0),
    ],
)
def test_a_test_is_charged_for_what_it_may_have_moved(found: ThroughputRow, limit: int | None, charged: int) -> None:
    assert charged_bytes(found, limit) == charged


NOW_S = 1.7e9
MB = 10**6


def mesh_of(site: int | None = None, link: int | None = None, peer: int | None = None) -> Mesh:
    return Mesh(
        sites={
            "a": Site(address="10.0.0.1", budget_bytes_per_day=site),
            "b": Site(address="10.0.0.2", budget_bytes_per_day=peer),
            "c": Site(address="10.0.0.3"),
        },
        throughput=ThroughputTests(budget_bytes_per_day=UNLIMITED_BYTES, link_budget_bytes_per_day=link),
    )


def ledger_of(path: Path, mesh: Mesh) -> BudgetStore:
    made = BudgetStore(path / "ledger.sqlite", "a")
    made.apply_mesh(mesh)
    return made


def left_bytes(ledger: BudgetStore) -> int:
    state = ledger.state(NOW_S)
    assert state is not None
    assert state[0] == 800 * MB
    return state[1]


def test_without_a_budget_everything_is_allowed(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, mesh_of())
    assert ledger.ask("b", "a") is None
    assert ledger.state(NOW_S) is None
    reservation = ledger.reserve(NOW_S, "b", "a", None)
    assert reservation is not None
    ledger.settle(reservation, "b", "a", 5 * MB)
    ledger.close()


def test_before_there_is_a_mesh_there_is_no_budget(tmp_path: Path) -> None:
    ledger = BudgetStore(tmp_path / "ledger.sqlite", "a")
    assert ledger.ask("b", "a") is None
    assert ledger.state(NOW_S) is None
    ledger.close()


def test_what_a_test_did_not_move_is_given_back(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, mesh_of(site=800 * MB))
    reservation = ledger.reserve(NOW_S, "b", "a", 60 * MB)
    assert reservation is not None
    assert left_bytes(ledger) == pytest.approx(40 * MB, abs=200)
    ledger.settle(reservation, "b", "a", 10 * MB)
    assert left_bytes(ledger) == pytest.approx(90 * MB, abs=200)
    ledger.close()


def test_a_reservation_counts_whole_when_the_site_dies_in_the_middle_of_its_test(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, mesh_of(site=800 * MB))
    assert ledger.reserve(NOW_S, "b", "a", 60 * MB)
    ledger.close()  # and nothing was settled
    again = ledger_of(tmp_path, mesh_of(site=800 * MB))
    assert left_bytes(again) == pytest.approx(40 * MB, abs=200)
    assert again.reserve(NOW_S, "b", "a", 60 * MB) is None
    again.close()


def test_all_tests_of_a_site_are_charged_to_it_sent_and_received(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, mesh_of(site=800 * MB))
    assert ledger.reserve(NOW_S, "b", "a", 50 * MB)
    assert ledger.reserve(NOW_S, "a", "c", 40 * MB)
    assert ledger.reserve(NOW_S, "a", "b", 20 * MB) is None
    ledger.close()


def test_a_peer_that_invites_without_end_gets_half_and_leaves_the_others_theirs(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, mesh_of(site=800 * MB))
    drawn = 0
    for second in range(24 * 3600 // 60):
        drawn += MB if ledger.reserve(NOW_S + 60 * second, "a", "b", MB) else 0
    assert 380 <= drawn / MB <= 400
    assert ledger.reserve(NOW_S + DAY_S, "a", "c", 40 * MB)
    assert ledger.reserve(NOW_S + DAY_S, "b", "a", 40 * MB)
    ledger.close()


def test_a_link_has_a_budget_of_its_own(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, mesh_of(link=160 * MB))
    assert ledger.state(NOW_S) is None
    assert ledger.reserve(NOW_S, "b", "a", 15 * MB)
    assert ledger.reserve(NOW_S, "b", "a", 15 * MB) is None
    assert ledger.reserve(NOW_S, "a", "b", 15 * MB)  # the way back is another link
    ledger.close()


def test_scheduled_tests_leave_a_part_to_those_that_are_brought_forward(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, mesh_of(site=800 * MB))
    assert ledger.reserve(NOW_S, "b", "a", 80 * MB, keep=True) is None
    assert ledger.reserve(NOW_S, "b", "a", 80 * MB)
    ledger.close()


def test_a_test_without_a_limit_is_refused_where_there_is_a_budget(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, mesh_of(site=800 * MB))
    assert ledger.reserve(NOW_S, "a", "b", None) is None
    ledger.close()


def test_the_smallest_budget_concerned_limits_what_is_asked_for(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, mesh_of(site=800 * MB, peer=80 * MB))
    assert ledger.ask("b", "a") == 2_500_000  # a quarter of the 10 MB that b can spend at once
    assert ledger.ask("c", "a") == 25 * MB
    ledger.close()


def test_the_next_test_asks_for_more_where_a_limit_ended_the_last(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, mesh_of(site=800 * MB))
    reservation = ledger.reserve(NOW_S, "b", "a", 25 * MB)
    assert reservation is not None
    ledger.settle(reservation, "b", "a", 25 * MB, limited=True)
    assert ledger.ask("b", "a") == 50 * MB
    ledger.close()


def test_nothing_is_given_back_where_another_test_has_spent_since(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, mesh_of(site=800 * MB))
    first = ledger.reserve(NOW_S, "b", "a", 20 * MB)
    assert first is not None
    assert ledger.reserve(NOW_S, "a", "c", 20 * MB)
    ledger.settle(first, "b", "a", 0)
    assert left_bytes(ledger) == pytest.approx(60 * MB, abs=200)
    ledger.close()


def test_a_file_that_is_no_ledger_is_set_aside_and_no_byte_is_given_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every budget begins empty, and is full again after a seventh of a day."""
    (tmp_path / "ledger.sqlite").write_text("no ledger" * 100)
    ledger = ledger_of(tmp_path, mesh_of(site=800 * MB))
    now_s = time.time()
    assert ledger.reserve(now_s, "b", "a", MB) is None
    assert ledger.reserve(now_s + DAY_S / 7, "b", "a", 100 * MB)
    ledger.close()
    (aside,) = tmp_path.glob("ledger.sqlite.damaged-*")
    assert aside.read_text() == "no ledger" * 100
    assert aside.name in caplog.text


def test_of_a_damaged_ledger_the_budgets_that_can_be_read_stay(tmp_path: Path) -> None:
    first = ledger_of(tmp_path, mesh_of(site=800 * MB))
    assert first.reserve(NOW_S, "b", "a", 60 * MB)
    first.close()
    file = tmp_path / "ledger.sqlite"
    file.write_bytes(b"damaged!" * 512 + file.read_bytes()[4096:])  # the first page: nothing leads to the others
    second = ledger_of(tmp_path, mesh_of(site=800 * MB))
    assert left_bytes(second) == pytest.approx(40 * MB, abs=200)
    second.close()


def test_damage_while_it_runs_costs_nothing(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, mesh_of(site=800 * MB))
    assert ledger.reserve(NOW_S, "b", "a", 10 * MB)
    (tmp_path / "ledger.sqlite").write_bytes(b"damaged!" * 1536)
    assert ledger.reserve(NOW_S, "b", "a", 10 * MB)
    ledger.close()
    again = ledger_of(tmp_path, mesh_of(site=800 * MB))
    assert left_bytes(again) == pytest.approx(80 * MB, abs=400)
    again.close()


def test_a_full_disk_stops_tests_and_nothing_else_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = ledger_of(tmp_path, mesh_of(site=800 * MB))
    first = ledger.reserve(NOW_S, "b", "a", 10 * MB)
    assert first is not None
    ledger._db.execute("PRAGMA query_only = 1")
    ledger.settle(first, "b", "a", 0)
    assert ledger.reserve(NOW_S, "b", "a", 10 * MB) is None
    assert left_bytes(ledger) == pytest.approx(90 * MB, abs=200)
    assert len(caplog.records) == 1
    ledger._db.execute("PRAGMA query_only = 0")
    assert ledger.reserve(NOW_S, "b", "a", 10 * MB)
    ledger.close()


def full_but(ledger: BudgetStore, count: int, now_s: float = NOW_S) -> None:
    """Spend so much of the 100 MB that are there at once, by a test of c → a."""
    spent = ledger.reserve(now_s, "c", "a", count)
    assert spent is not None
    ledger.settle(spent, "c", "a", count)


def test_a_link_that_waited_for_a_round_is_saved_up_for_until_it_is_tested(tmp_path: Path) -> None:
    ledger = BudgetStore(tmp_path / "ledger.sqlite", "a")
    ledger.apply_mesh(mesh_of(site=800 * MB), 60.0)
    full_but(ledger, 70 * MB)
    assert ledger.reserve(NOW_S, "b", "a", 25 * MB, keep=True) is None  # a quarter is kept: 30 MB are too little
    full_but(ledger, MB, NOW_S + 1)
    later_s = NOW_S + 1900  # 15.4 MB came in
    assert ledger.reserve(later_s, "b", "a", 25 * MB, keep=True) is None
    assert ledger.reserve(later_s, "c", "a", MB, keep=True) is None  # which had found enough
    assert ledger.reserve(later_s, "a", "c", MB) is not None  # it was not tested since b → a waits
    much_later_s = NOW_S + 3000
    found = ledger.reserve(much_later_s, "b", "a", 25 * MB, keep=True)
    assert found is not None
    ledger.settle(found, "b", "a", 0, tested=False)  # the other end declined: it waits on
    assert ledger.reserve(much_later_s + 1, "c", "a", 10 * MB) is None
    found = ledger.reserve(much_later_s + 60, "b", "a", 25 * MB, keep=True)
    assert found is not None
    ledger.settle(found, "b", "a", 25 * MB)
    assert ledger.reserve(much_later_s + 61, "c", "a", 10 * MB) is not None
    ledger.close()


def test_a_test_that_another_site_asked_for_counts_as_tested_and_waits_like_its_own(tmp_path: Path) -> None:
    ledger = BudgetStore(tmp_path / "ledger.sqlite", "a")
    ledger.apply_mesh(mesh_of(site=800 * MB), 60.0)
    assert ledger.reserve(NOW_S, "a", "c", 40 * MB)
    assert ledger.reserve(NOW_S, "c", "a", 50 * MB)
    assert ledger.reserve(NOW_S + 1, "a", "b", 25 * MB) is None
    assert ledger.reserve(NOW_S + 2, "a", "c", MB)
    assert ledger.reserve(NOW_S + 400, "a", "b", 25 * MB) is None
    assert ledger.reserve(NOW_S + 400, "a", "c", MB) is None
    assert ledger.reserve(NOW_S + 2400, "a", "b", 25 * MB)
    assert ledger.reserve(NOW_S + 2401, "a", "c", MB)
    ledger.close()
