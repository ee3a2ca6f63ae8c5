"""One link's probes of one window, the outages among them, and the row that they become. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median_low
from typing import Any, NamedTuple

from linkweather.wire import LatencyRow, Outage
from linkweather.wire.fields import MAX_FIGURES, printable
from linkweather.wire.latency import MAX_OUTAGES
from probes.latency.clocks import NS_PER_S, Clock
from probes.latency.loss_direction import CountedProbe, Losses
from probes.latency.pacing import Window
from probes.latency.prober import TimestampSource
from probes.latency.stamp_packet import StampReply
from probes.latency.statistics import Jitter, quantile, summary

# With a tenth of all probes lost at random, ten a second, so many in a row are lost about once in three hours.
LEAST_PROBES = 5


class TimedReply(NamedTuple):
    """A reply and when it came: monotonic, and by the wall clock as the kernel and as we saw it."""

    reply: StampReply
    now: float
    wall_ns: int
    kernel_ns: int | None


@dataclass(slots=True, eq=False)
class SentProbe:
    """One probe; `sequence` counts on where the 32 bits of the wire wrap."""

    sequence: int
    tally: Tally
    sent_s: float
    sent_ns: int
    timestamp: int
    awaits_stamp: bool
    stamp_ns: int | None = None
    arrival: TimedReply | None = None
    settled: bool = False
    figures: Mapping[str, float] | None = None
    # The reflector's own sequence in the first and the last reply.
    first: int | None = None
    last: int | None = None

    def probed(self) -> CountedProbe:
        """What the direction of losses is found by."""
        return CountedProbe(self.sequence, self.first, self.last)


@dataclass(slots=True)
class Tally:
    """What became of one link's probes of one window.

    `reason` says why nothing went or came, where that is known, and `remark` says more for people. `address` is the
    last one that was probed, where the peer has a name. `overflowed` is how many datagrams our own full buffer lost.
    """

    window: Window
    clock: Clock
    loaded: bool = False
    probes: list[SentProbe] = field(default_factory=list)
    received: int = 0
    duplicated: int = 0
    reordered: int = 0
    late: int = 0
    late_max_s: float | None = None
    rtts_s: list[float] = field(default_factory=list)
    forward_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)
    owd_error_s: float = 0.0
    kernel: bool = True
    set_aside: Counter[str] = field(default_factory=Counter)
    held: int = 0  # replies that the reflector says it held for longer than counts
    reason: str | None = None
    remark: str | None = None
    address: str | None = None
    overflowed: int = 0

    def add_late(self, late_s: float) -> None:
        """Count a reply that missed the timeout by this much."""
        self.late += 1
        self.late_max_s = max(self.late_max_s or 0.0, late_s)

    def add_rtt(self, rtt_s: float, source: TimestampSource) -> None:
        """Take an RTT in."""
        self.rtts_s.append(rtt_s)
        self.kernel = self.kernel and source == "kernel"

    def add_one_way(self, forward_s: float, back_s: float, error_s: float) -> None:
        """Take both one-way delays of a probe in; negative values stay negative."""
        self.forward_s.append(forward_s)
        self.back_s.append(back_s)
        self.owd_error_s = max(self.owd_error_s, error_s)


def row(
    src: str, dst: str, method: str, tally: Tally, losses: Losses, *, jitter: Jitter, outages: tuple[Outage, ...]
) -> LatencyRow | None:
    """The row of a window whose probes are settled; None when nothing was tried and nothing went wrong."""
    if not tally.probes and tally.reason is None:
        return None
    known = losses.forward + losses.back > 0 or not losses.unknown
    losses, ours = _without_ours(losses, tally.overflowed)
    if ours:
        tally.set_aside["overflow"] += ours
        outages = ()  # it may be ours as well
    sent = len(tally.probes) - ours
    return LatencyRow(
        src=src,
        dst=dst,
        method=method,
        failure=None if tally.received else _failure(tally, sent),
        detail=_detail(tally),
        address=tally.address,
        window_s=tally.window.end_s - tally.window.start_s,
        sent=sent,
        received=tally.received,
        lost_forward=losses.forward if known else None,
        lost_back=losses.back if known else None,
        duplicated=tally.duplicated,
        reordered=tally.reordered,
        late=tally.late,
        late_max_s=tally.late_max_s,
        outages=outages[-MAX_OUTAGES:] or None,
        during_throughput=tally.loaded,
        figures=_figures(tally) or None,
        **_delays(tally, jitter),
    )


def _without_ours(losses: Losses, overflowed: int) -> tuple[Losses, int]:
    """The losses without the replies that our own full buffer may have dropped, and how many these are."""
    unknown = min(losses.unknown, overflowed)
    back = min(losses.back, overflowed - unknown)
    return Losses(losses.forward, losses.back - back, losses.unknown - unknown), unknown + back


def _failure(tally: Tally, sent: int) -> str:
    if not sent and tally.probes:
        return "overflow"
    return tally.reason or ("late" if tally.late else "no_reply")


def _detail(tally: Tally) -> str | None:
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(tally.set_aside.items()))
    parts = [
        *([f"samples set aside: {reasons}"] if reasons else []),
        *([f"{tally.held} replies held by the reflector, it says, for longer than counts"] if tally.held else []),
    ]
    return "; ".join(parts) or (tally.remark and printable(tally.remark))


def _figures(tally: Tally) -> dict[str, float]:
    """Of each figure the low median: a value that occurred, as a status between two others would be none."""
    values: dict[str, list[float]] = {}
    for figures in [probe.figures for probe in tally.probes if probe.figures]:
        for name, value in figures.items():
            values.setdefault(name, []).append(value)
    return {name: median_low(values[name]) for name in list(values)[:MAX_FIGURES]}


def _delays(tally: Tally, jitter: Jitter) -> dict[str, Any]:
    smoothed = jitter.add(tally.rtts_s)
    if not tally.rtts_s:
        return {}
    rtt = summary(tally.rtts_s)
    digits = _digits(rtt.minimum)
    least, p50, p95, most = (round(value, digits) for value in (rtt.minimum, rtt.p50, rtt.p95, rtt.maximum))
    found = {
        "rtt_min_s": least,
        "rtt_mean_s": rtt.mean,
        "rtt_p50_s": p50,
        "rtt_p95_s": p95,
        "rtt_p99_s": rtt.p99,
        "rtt_max_s": most,
        # Two of the rounded, and within what these span, so that the relations between them hold as well.
        "rtt_stdev_s": None if rtt.stdev is None else min(rtt.stdev, most - least),
        "jitter_p95_p50_s": p95 - p50,
        "jitter_rfc3550_s": smoothed,
        **_one_way_delays(tally),
    }
    rounded = {name: value if value is None else round(value, digits) for name, value in found.items()}
    return {**rounded, "timestamp": "kernel" if tally.kernel else "user"}


def _digits(rtt_s: float) -> int:
    """The decimals of seconds that a row's delays are rounded to: by at most 0.05 % of its least RTT, or by 0.5 µs.

    That is below what one window can tell of a link: the RTTs of a virtual wire lie 8 µs apart. More would be noise,
    and noise is most of what a report weighs on the wire and of what a row takes on the collector's disk.
    """
    return next((digits for least_s, digits in ((1e-3, 6), (1e-4, 7), (1e-5, 8)) if rtt_s >= least_s), 9)


def _one_way_delays(tally: Tally) -> dict[str, float]:
    if not tally.forward_s:
        return {}
    return {
        "owd_forward_p50_s": quantile(sorted(tally.forward_s), 0.5),
        "owd_back_p50_s": quantile(sorted(tally.back_s), 0.5),
        "owd_error_s": tally.owd_error_s,
    }


@dataclass(slots=True)
class _Run:
    """Probes in a row without a reply: when the first was sent, by both clocks, and how many."""

    start_s: float
    start_ns: int
    lost: int = 0


class Outages:
    """One link's probes, window after window, turned into outages."""

    def __init__(self) -> None:
        self._run: _Run | None = None

    def follow(self, probes: Iterable[SentProbe]) -> tuple[Outage, ...]:
        """Go on with the next probes, settled, in the order of sending.

        Returns the outages that ended among them, and last the one that lasts.
        """
        return tuple(self._follow(probes))

    def _follow(self, probes: Iterable[SentProbe]) -> Iterator[Outage]:
        for probe in probes:
            if probe.first is None:
                self._run = self._run or _Run(probe.sent_s, probe.sent_ns)
                self._run.lost += 1
            elif self._run is not None:
                yield from _outage(self._run, probe.sent_s)
                self._run = None
        if self._run is not None:
            yield from _outage(self._run, None)


def _outage(run: _Run, end_s: float | None) -> Iterator[Outage]:
    if run.lost < LEAST_PROBES:
        return
    start = datetime.fromtimestamp(run.start_ns // NS_PER_S, UTC).replace(microsecond=run.start_ns % NS_PER_S // 1000)
    # The monotonic clock says how long: the wall clock may be stepped meanwhile.
    end = None if end_s is None else start + timedelta(seconds=end_s - run.start_s)
    yield Outage(start=start, end=end, lost=run.lost)
