"""Outages: so many probes in a row without any reply that they are one event, with a start and an end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from linkweather.wire import Outage
from probes.latency.tally import Probe
from probes.latency.timestamps import NS_PER_S

# With a tenth of all probes lost at random, ten a second, so many in a row are lost about once in three hours.
LEAST_PROBES = 5


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

    def follow(self, probes: Iterable[Probe]) -> tuple[Outage, ...]:
        """Go on with the next probes, settled, in the order of sending.

        Returns the outages that ended among them, and last the one that lasts.
        """
        return tuple(self._follow(probes))

    def _follow(self, probes: Iterable[Probe]) -> Iterator[Outage]:
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
