from __future__ import annotations

from random import Random

import pytest

from linkweather.lab.emulated_link import EmulatedLink
from linkweather.lab.labfile import Behaviour

# 1000 octets at 8 Mbit/s take 1 ms.
SLOW = Behaviour(delay_s=0.010, rate_bps=8e6, queue_s=0.0025)


def link(behaviour: Behaviour) -> EmulatedLink:
    return EmulatedLink(behaviour, Random(1))


def test_packet_arrives_after_its_transmission_and_the_delay() -> None:
    assert link(SLOW).admit(1000, 5.0) == pytest.approx(5.011)


def test_second_packet_waits_for_the_first_to_be_sent() -> None:
    slow = link(SLOW)
    slow.admit(1000, 5.0)
    assert slow.admit(1000, 5.0) == pytest.approx(5.012)


def test_idle_link_forgets_its_backlog() -> None:
    slow = link(SLOW)
    slow.admit(1000, 5.0)
    assert slow.admit(1000, 6.0) == pytest.approx(6.011)


def test_packet_that_finds_more_than_the_queue_is_dropped() -> None:
    # They find a backlog of 0, 1, 2 and 3 ms; 2.5 ms are allowed.
    slow = link(SLOW)
    arrivals = [slow.admit(1000, 5.0) for _ in range(4)]
    assert arrivals[:3] == [pytest.approx(5.011), pytest.approx(5.012), pytest.approx(5.013)]
    assert arrivals[3] == "queue"
    assert slow.counters.dropped == {"cut": 0, "loss": 0, "queue": 1}
    assert (slow.counters.forwarded_packets, slow.counters.forwarded_bytes) == (3, 3000)


def test_dropped_packet_takes_no_time_on_the_wire() -> None:
    slow = link(SLOW)
    for _ in range(5):
        slow.admit(1000, 5.0)
    assert slow.admit(1000, 5.003) == pytest.approx(5.014)


def test_cut_link_drops_everything_until_it_is_restored() -> None:
    slow = link(SLOW)
    slow.cut = True
    assert slow.admit(1000, 5.0) == "cut"
    slow.cut = False
    assert slow.admit(1000, 5.0) == pytest.approx(5.011)


def test_loss_follows_its_ratio_and_the_seed() -> None:
    # Binomial, n = 10,000, p = 0.1: 1000 ± 30, and five times that for a margin.
    behaviour = Behaviour(delay_s=0, loss_ratio=0.1)
    outcomes = [[EmulatedLink(behaviour, Random(7)).admit(100, 0.0)] for _ in range(2)]
    assert outcomes[0] == outcomes[1]
    lossy = link(behaviour)
    for number in range(10_000):
        lossy.admit(100, float(number))
    assert 850 < lossy.counters.dropped["loss"] < 1150


def test_jitter_stays_within_its_bounds_and_keeps_the_order() -> None:
    # 1 Gbit/s: 0.8 µs for 100 octets; packets 1 ms apart, jitter of ± 5 ms.
    jittery = link(Behaviour(delay_s=0.010, jitter_s=0.005))
    arrivals = [jittery.admit(100, number / 1000) for number in range(1000)]
    times = [arrival for arrival in arrivals if not isinstance(arrival, str)]
    assert len(times) == 1000
    assert times == sorted(times)
    delays = [arrival - number / 1000 for number, arrival in enumerate(times)]
    assert 0.005 <= min(delays) < max(delays) <= 0.01501
    assert max(delays) - min(delays) > 0.005


def test_overtaking_packets_skip_the_delay_and_hold_nobody_up() -> None:
    # 125 octets at 1 Gbit/s take 1 µs. Binomial, n = 1000, p = 0.1: 100 ± 9.5.
    overtaken = link(Behaviour(delay_s=0.010, reorder_ratio=0.1))
    arrivals = [overtaken.admit(125, float(number)) for number in range(1000)]
    delays = [arrival - number for number, arrival in enumerate(arrivals) if not isinstance(arrival, str)]
    early = [delay for delay in delays if delay < 0.005]
    assert early == pytest.approx([0.000001] * len(early), abs=1e-9)
    assert [delay for delay in delays if delay >= 0.005] == pytest.approx([0.010001] * (1000 - len(early)))
    assert 50 < len(early) < 150
    assert overtaken.counters.reordered_packets == len(early)


def test_a_share_of_the_packets_comes_twice() -> None:
    doubled = link(Behaviour(delay_s=0, duplicate_ratio=0.1))
    copies = [doubled.copies() for _ in range(1000)]
    assert set(copies) == {1, 2}
    assert 50 < copies.count(2) < 150
    assert doubled.counters.duplicated_packets == copies.count(2)
    assert link(SLOW).copies() == 1


def test_shorter_delay_does_not_overtake_what_is_under_way() -> None:
    changed = link(Behaviour(delay_s=0.100))
    first = changed.admit(125, 1.0)
    changed.behaviour = Behaviour(delay_s=0.001)
    assert changed.behaviour.delay_s == 0.001
    assert changed.admit(125, 1.001) == first == pytest.approx(1.100001)
    assert changed.admit(125, 2.0) == pytest.approx(2.001001)


def test_a_packet_that_a_router_stops_was_not_forwarded() -> None:
    routed = link(SLOW)
    routed.admit(1000, 5.0)
    routed.admit(500, 5.0)
    routed.stop(1000)
    counters = routed.counters
    assert (counters.forwarded_packets, counters.forwarded_bytes, counters.dropped["router"]) == (1, 500, 1)


def test_a_router_s_own_packet_is_lost_on_a_cut_link_or_by_the_loss_ratio() -> None:
    sound, lossy, cut = link(SLOW), link(SLOW.model_copy(update={"loss_ratio": 1.0})), link(SLOW)
    cut.cut = True
    assert [each.loses() for each in (sound, lossy, cut)] == [False, True, True]
