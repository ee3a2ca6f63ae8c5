"""Where slow start ends, and what a receiver counts behind a lost segment. Pure: rates go in, of intervals of 0.1 s.

TCP sends a window in each round trip. On a long path that is a burst and a pause, and a rate of 0.1 s shows nothing but
which of them it caught: 50, 1, 42 Mbit/s, in slow start as in the middle of a test. So growth is counted from round
trip to round trip: `per_rtt` rates make one, a single rate where the path is shorter. There is a quicker sign on a long
path: slow start that falls short of it pauses in every round trip, or doubles where it is paced. One and a half that do
neither fill it.

Slow start ends with losses. TCP delivers in order: behind a lost segment the receiver counts nothing, a round trip and
more, and then all at once what has arrived meanwhile: 0, 29, 74, 101 on a path of 50 Mbit/s. That is no variation of
the path: what arrived was 50 all the time. So a rate far below the level opens a *stall*, which takes in the rates that
follow until their mean is at the level again, and the burst is over; the mean stands for each of them. A stall that
lasts longer than losses explain is the path's own, and its rates stand as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from statistics import fmean, median
from typing import Final

# draft-cardwell-iccrg-bbr-congestion-control §4.3.1.2.
GROWTH: Final = 1.25
FULL_AFTER: Final = 3
# Round trips of a full long path in which no rate is a stall by the highest, and the fewest rates in them.
LEVEL_RTTS: Final = 1.5
LEVEL_LEAST: Final = 5
# A round trip of slow start may have half of the rate of the one before; a full pipe shows a seventh less as a stall.
STALLED_START: Final = 0.5
STALLED: Final = 0.85
# A stall is over when its mean has come so near to the level. BBR's is lower: it drains the queue that it has filled.
MADE_UP: Final = 0.9
BURST: Final = 1.25  # of a stall's mean: what is above belongs to it
# Two recoveries of a round trip each, with a queue as long as the path; beside them what a busy host adds.
STALL_RTTS: Final = 4
STALL_MORE: Final = 3


def pipe_full(rates: Sequence[float], per_rtt: int = 1) -> int | None:
    """Index of the first rate of the three round trips that show a full pipe; None when it never filled."""
    highest, flat = 0.0, 0
    stall: list[float] = []
    for number, rate in enumerate(_round_trips(rates, per_rtt)):
        stall = [*stall, rate] if stall or rate < STALLED_START * highest else []
        if not stall and rate >= GROWTH * highest and rate > 0:
            highest, flat = rate, 0
        elif highest > 0:
            flat += 1
        if flat == FULL_AFTER:
            return (number - FULL_AFTER + 1) * per_rtt
        if stall and fmean(stall) >= MADE_UP * highest:
            stall = []
    return None


def level_from(rates: Sequence[float], per_rtt: int) -> int | None:
    """Index of the first of 1.5 round trips of a long path without a pause or growth; None before, and on a short one.

    A path is long where a round trip takes several rates.
    """
    count = max(LEVEL_LEAST, ceil(LEVEL_RTTS * per_rtt))
    starts = range(len(rates) - count + 1) if per_rtt > 1 else ()
    found = ((start, rates[start : start + count]) for start in starts)
    return next((start for start, part in found if min(part) > 0 and min(part) >= STALLED * max(part)), None)


def _round_trips(rates: Sequence[float], per_rtt: int) -> list[float]:
    whole = len(rates) // per_rtt * per_rtt
    return [fmean(rates[start : start + per_rtt]) for start in range(0, whole, per_rtt)]


def settled(rates: Sequence[float], full: int, per_rtt: int = 1) -> tuple[list[float], list[float]]:
    """The rates from a full pipe on, each stall by its mean; and those of a stall that is not over."""
    longest = STALL_MORE + STALL_RTTS * per_rtt
    found: list[float] = []
    stall: list[float] = []

    def level() -> float:
        before = fmean(found[-longest:] or rates[full - per_rtt : full])
        # A burst may have been the last of slow start: what has been calm for three round trips is the level as well.
        now = median(stall[-FULL_AFTER * per_rtt :]) if len(stall) > FULL_AFTER * per_rtt else 0.0
        return min(before, now) if now >= STALLED_START * before else before

    for rate in rates[full:]:
        made_up = _is_made_up(stall, level())
        if stall and (rate <= BURST * fmean(stall) if made_up else len(stall) > longest):
            found, stall = found + (_levelled(stall) if made_up else stall), []
        (stall if stall or rate < STALLED * level() else found).append(rate)
    return (found + _levelled(stall), []) if _is_made_up(stall, level()) else (found, stall)


def _is_made_up(stall: Sequence[float], level: float) -> bool:
    return bool(stall) and fmean(stall) >= MADE_UP * level


def _levelled(stall: Sequence[float]) -> list[float]:
    return [fmean(stall)] * len(stall)
