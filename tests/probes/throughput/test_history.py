from __future__ import annotations

from probes.throughput.history import REMEMBERED, History
from probes.throughput.result import Result


def result(low: float, mean: float, high: float, over_10_s: float | None = None) -> Result:
    return Result(
        (), "receiver", 1, goodput_bps=mean, goodput_low_bps=low, goodput_high_bps=high, goodput_10s_bps=over_10_s
    )


def interval(stated: Result) -> tuple[float | None, float | None]:
    return stated.goodput_low_bps, stated.goodput_high_bps


def test_the_first_test_of_a_link_states_its_own_interval() -> None:
    assert interval(History().widened("a", result(95, 100, 105, 98))) == (95, 105)


def test_the_interval_holds_the_ten_second_equivalent_which_slow_start_lowers() -> None:
    assert interval(History().widened("a", result(99, 100, 101, 93))) == (93, 101)


def test_the_interval_holds_what_earlier_tests_of_the_link_found_and_the_estimate_is_its_own() -> None:
    history = History()
    history.widened("a", result(48, 50, 52))
    history.widened("a", result(118, 120, 122))
    stated = history.widened("a", result(99, 100, 101))
    assert interval(stated) == (48, 122)
    assert stated.goodput_bps == 100


def test_links_do_not_learn_from_each_other() -> None:
    history = History()
    history.widened("a", result(48, 50, 52))
    assert interval(history.widened("b", result(99, 100, 101))) == (99, 101)


def test_what_lies_long_back_is_forgotten_and_the_interval_narrows_again() -> None:
    history = History()
    history.widened("a", result(48, 50, 52))
    for _ in range(REMEMBERED - 1):
        assert interval(history.widened("a", result(99, 100, 101))) == (48, 101)
    assert interval(history.widened("a", result(99, 100, 101))) == (99, 101)


def test_an_estimate_of_one_sample_has_an_interval_once_others_were_there() -> None:
    history = History()
    history.widened("a", result(95, 100, 105))
    alone = Result((), "receiver", 1, goodput_bps=90.0)
    assert interval(history.widened("a", alone)) == (90, 105)


def test_a_failed_test_states_nothing_and_teaches_nothing() -> None:
    history = History()
    failed = Result((), "receiver", 1, failure="refused")
    assert history.widened("a", failed) == failed
    assert interval(history.widened("a", result(99, 100, 101))) == (99, 101)
