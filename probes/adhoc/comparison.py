"""What changed between two tests of a host, and whether by more than noise. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from textwrap import wrap

from linkweather.units import RATES, TIMES, fitting
from probes.adhoc.saved import SavedLatency, SavedTest, SavedThroughput
from probes.adhoc.significance import NoiseVerdict, apart, fisher, mann_whitney
from probes.adhoc.summary import WIDTH

NEVER = "no earlier test of this host"


@dataclass(frozen=True, slots=True)
class ComparedValue:
    """One quantity then and now, in one sentence. `more_than_noise` is None where it is not known."""

    text: str
    more_than_noise: bool | None = None
    p: float | None = None


def text(before: SavedTest | None, now: SavedTest) -> str:
    """The changes under their heading, without a newline at its end."""
    since = f" since {before.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if before and before.at else ""
    lines = [line for each in changes(before, now) for line in wrap(each.text, WIDTH - 2, subsequent_indent="  ")]
    return "\n".join([f"Changes at {now.host}{since}", *(f"  {line}" for line in lines)])


def changes(before: SavedTest | None, now: SavedTest) -> list[ComparedValue]:
    """What was measured both times, compared; what was not, said."""
    if before is None:
        return [ComparedValue(NEVER)]
    found = [*_latency(before.latency, now.latency)] if before.latency and now.latency else []
    ways = {each.direction: each for each in (before.throughput, before.throughput_opposite) if each}
    for each in (now.throughput, now.throughput_opposite):
        if each and each.direction in ways:
            found += _throughput(ways[each.direction], each)
    return found or [ComparedValue("nothing that was measured both times")]


def _latency(before: SavedLatency, now: SavedLatency) -> Iterator[ComparedValue]:
    if before.method != now.method:
        yield ComparedValue(f"latency: not compared, for it was measured by {before.method} then, {now.method} now")
        return
    replies = [[rtt_s for rtt_s in each.rtts_s if rtt_s is not None] for each in (before, now)]
    if all(replies) and before.rtt_p50_s is not None and now.rtt_p50_s is not None:
        unit = fitting(max(before.rtt_p50_s, now.rtt_p50_s), TIMES)
        numbers = f"RTT p50 {unit.number(before.rtt_p50_s)} → {unit.text(now.rtt_p50_s)}"
        yield _judged(numbers, mann_whitney(*replies))
    lost = before.sent - before.received, before.sent, now.sent - now.received, now.sent
    yield from _losses("loss", *lost)


def _losses(what: str, lost_before: int, sent_before: int, lost_now: int, sent_now: int) -> Iterator[ComparedValue]:
    if min(sent_before, sent_now) > 0:
        numbers = f"{what} {lost_before} of {sent_before} → {lost_now} of {sent_now}"
        yield _judged(numbers, fisher(lost_before, sent_before, lost_now, sent_now))


def _throughput(before: SavedThroughput, now: SavedThroughput) -> Iterator[ComparedValue]:
    way = "goodput from the host" if now.direction == "reverse" else "goodput to the host"
    if _kind(before) != _kind(now):
        yield ComparedValue(f"{way}: not compared, for it was {_kind(before)} then, {_kind(now)} now")
        return
    if before.goodput_bps is None or now.goodput_bps is None:
        when = "then" if before.goodput_bps is None else "now"
        yield ComparedValue(f"{way}: not measured {when}")
        return
    unit = fitting(max(before.goodput_bps, now.goodput_bps), RATES)
    numbers = f"{way} {unit.number(before.goodput_bps)} → {unit.text(now.goodput_bps)}"
    spans = _span(before), _span(now)
    if spans[0] is None or spans[1] is None:
        yield ComparedValue(f"{numbers}: within noise or not is unknown, as one test has no interval")
    else:
        yield _judged(numbers, apart(spans[0], spans[1]))
    if before.datagrams and now.datagrams:
        datagrams = before.datagrams.lost, before.datagrams.sent, now.datagrams.lost, now.datagrams.sent
        yield from _losses("datagrams lost", *datagrams)


def _kind(test: SavedThroughput) -> str:
    unit = fitting(test.udp_rate_bps, RATES) if test.udp_rate_bps else None
    protocol = f"UDP at {unit.text(test.udp_rate_bps)}" if unit and test.udp_rate_bps else "TCP"
    streams = "" if test.streams in {1, None} else f" in {test.streams} streams"
    return f"{protocol}{streams}{f' with {test.congestion}' if test.congestion else ''}"


def _span(test: SavedThroughput) -> tuple[float, float] | None:
    if test.goodput_low_bps is None or test.goodput_high_bps is None:
        return None
    return test.goodput_low_bps, test.goodput_high_bps


def _judged(numbers: str, verdict: NoiseVerdict) -> ComparedValue:
    chance = "" if verdict.p is None else f" (p {_p(verdict.p)})"
    if not verdict.more_than_noise:
        return ComparedValue(f"{numbers}: within noise{chance}", more_than_noise=False, p=verdict.p)
    way = "higher" if verdict.rise > 0 else "lower"
    return ComparedValue(f"{numbers}: {way}, more than noise{chance}", more_than_noise=True, p=verdict.p)


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"
