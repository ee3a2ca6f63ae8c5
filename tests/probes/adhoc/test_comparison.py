"""What is said about two tests of a host, frozen."""

from __future__ import annotations

from typing import Any

from probes.adhoc.comparison import changes
from probes.adhoc.saved import SavedTest

# p50 20.2 ms of twenty RTTs; the other is 4.7 ms above it, no value in common.
BEFORE_S = [0.0200 + 7 * n % 20 / 50_000 for n in range(20)]
NOW_S = [rtt_s + 0.0047 for rtt_s in BEFORE_S]


def latency(rtts_s: list[float], p50_s: float | None, *, lost: int = 0, method: str = "stamp") -> dict[str, Any]:
    sent = len(rtts_s) + lost
    rtts = [*rtts_s, *[None] * lost]
    return {"method": method, "sent": sent, "received": sent - lost, "rtt_p50_s": p50_s, "rtts_s": rtts}


def goodput(bps: float | None, half_width: float | None = None, **more: Any) -> dict[str, Any]:
    low, high = (bps - half_width, bps + half_width) if bps and half_width else (None, None)
    values = {"method": "iperf3", "direction": "reverse", "streams": 1, "goodput_bps": bps}
    return {**values, "goodput_low_bps": low, "goodput_high_bps": high, **more}


def said(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    one, other = (SavedTest.model_validate({"host": "h", **each}) for each in (before, now))
    return [change.text for change in changes(one, other)]


def test_rtt_that_rose_and_losses_that_did_not() -> None:
    assert said({"latency": latency(BEFORE_S, 0.0202)}, {"latency": latency(NOW_S, 0.0249, lost=1)}) == [
        "RTT p50 20.2 → 24.9 ms: higher, more than noise (p < 0.001)",
        # The one loss among 41 probes fell to the 21 of now by chance: 21/41, and 20/41 the other way.
        "loss 0 of 20 → 1 of 21: within noise (p = 1)",
    ]


def test_rtt_that_fell_and_one_that_did_not() -> None:
    fell = said({"latency": latency(NOW_S, 0.0249)}, {"latency": latency(BEFORE_S, 0.0202)})
    assert fell[0] == "RTT p50 24.9 → 20.2 ms: lower, more than noise (p < 0.001)"
    same = said({"latency": latency(BEFORE_S, 0.0202)}, {"latency": latency(BEFORE_S, 0.0202)})
    assert same[0] == "RTT p50 20.2 → 20.2 ms: within noise (p = 1)"


def test_a_host_that_no_longer_answers_is_a_loss() -> None:
    assert said({"latency": latency(BEFORE_S, 0.0202)}, {"latency": latency([], None, lost=20)}) == [
        "loss 0 of 20 → 20 of 20: higher, more than noise (p < 0.001)"
    ]


def test_methods_are_not_compared_with_each_other() -> None:
    assert said({"latency": latency([0.02], 0.02)}, {"latency": latency([0.02], 0.02, method="icmp")}) == [
        "latency: not compared, for it was measured by stamp then, icmp now"
    ]
    udp = goodput(10e6, 1e5, method="iperf3_udp", udp_rate_bps=10e6)
    assert said({"throughput": goodput(99e6, 1e6, streams=4, congestion="bbr")}, {"throughput": udp}) == [
        "goodput from the host: not compared, for it was TCP in 4 streams with bbr then, UDP at 10.0 Mbit/s now"
    ]


def test_goodput_is_compared_by_its_intervals() -> None:
    before = {"throughput": goodput(99.4e6, 1e6)}
    assert said(before, {"throughput": goodput(97.8e6, 1e6)}) == [
        "goodput from the host 99.4 → 97.8 Mbit/s: within noise"
    ]
    assert said(before, {"throughput": goodput(90e6, 1e6)}) == [
        "goodput from the host 99.4 → 90.0 Mbit/s: lower, more than noise"
    ]


def test_each_direction_is_compared_with_itself() -> None:
    forward = goodput(50e6, 1e6, direction="forward")
    both = {"throughput": goodput(99e6, 1e6), "throughput_opposite": forward}
    assert said(both, {"throughput": goodput(60e6, 1e6, direction="forward")}) == [
        "goodput to the host 50.0 → 60.0 Mbit/s: higher, more than noise"
    ]


def test_what_has_no_interval_or_was_not_measured() -> None:
    forward = goodput(50e6, direction="forward")
    assert said({"throughput": forward}, {"throughput": forward}) == [
        "goodput to the host 50.0 → 50.0 Mbit/s: within noise or not is unknown, as one test has no interval"
    ]
    assert said({"throughput": goodput(None)}, {"throughput": goodput(5e6)}) == [
        "goodput from the host: not measured then"
    ]
    assert said({"throughput": goodput(5e6)}, {"throughput": goodput(None)}) == [
        "goodput from the host: not measured now"
    ]


def test_lost_datagrams_are_compared() -> None:
    tests = [
        {"throughput": goodput(10e6, 1e6, udp_rate_bps=10e6, datagrams={"sent": 860, "lost": lost})} for lost in (0, 43)
    ]
    assert said(*tests)[1] == "datagrams lost 0 of 860 → 43 of 860: higher, more than noise (p < 0.001)"


def test_nothing_to_compare_is_said() -> None:
    assert said({}, {"latency": latency([0.02], 0.02)}) == ["nothing that was measured both times"]
    assert said({"latency": latency([], None)}, {"latency": latency([], None)}) == [
        "nothing that was measured both times"
    ]
    assert [each.text for each in changes(None, SavedTest(host="h"))] == ["no earlier test of this host"]
