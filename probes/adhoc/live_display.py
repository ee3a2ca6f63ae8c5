"""The live display of ad hoc tests: the method that is tried, RTTs as they come, throughput as it grows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from linkweather.cli.terminal import Terminal
from linkweather.units import duration, rate
from probes.adhoc.adhoc_job import AdhocDisplay
from probes.adhoc.adhoc_throughput import INTERVAL_S
from probes.adhoc.plots import LOST, over_time, sparkline
from probes.throughput.iperf3_output import Interval

_REFRESH_PER_S = 8
_WIDEST, _NARROWEST = 120, 30
_MARGIN = 4


class LiveDisplay:
    """Draws on a terminal within its `with` block, a pane for each host, and leaves nothing behind."""

    def __init__(self, console: Terminal, hosts: Sequence[str]) -> None:
        width = max(min(console.width, _WIDEST) - _MARGIN, _NARROWEST)
        self.panes = [Pane(host, width) for host in hosts]
        self._live = Live(console=console, get_renderable=self._view, refresh_per_second=_REFRESH_PER_S, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        self._live.stop()

    def _view(self) -> Group:
        return Group(*(pane.view() for pane in self.panes))


class Pane(AdhocDisplay):
    """Shows one host's test."""

    def __init__(self, host: str, width: int) -> None:
        self._host = host
        self._width = width
        self._latency = ""
        self._throughput = ""
        self._recent: deque[float | None] = deque(maxlen=self._width)
        self._lost = 0
        self._count = 0
        self._settled = 0
        self._rates_bps: list[float] = []

    def trying(self, title: str) -> None:
        """Show which method is tried."""
        self._latency = f"trying {title} …"

    def chosen(self, choice: str, count: int) -> None:
        """Show which method is used, and why."""
        self._latency = choice
        self._count = count

    def probe(self, rtt_s: float | None) -> None:
        """Take a probe's RTT, or its loss, into the picture."""
        self._settled += 1
        self._lost += rtt_s is None
        self._recent.append(rtt_s)

    def connecting(self, port: int, *, reverse: bool) -> None:
        """Show that the throughput test begins."""
        way = f"from {self._host} to here" if reverse else f"from here to {self._host}"
        self._throughput = f"goodput {way}, iperf3 at port {port}"
        self._rates_bps.clear()

    def interval(self, interval: Interval) -> None:
        """Take an interval's rate into the picture."""
        self._rates_bps.append(interval.rate_bps)

    def view(self) -> Text:
        """What is known now."""
        view = Text(no_wrap=True, overflow="ellipsis")
        view.append(f"{self._host}\n", style="bold")
        view.append(f"  {self._latency}\n" if self._latency else "", style="dim")
        if self._settled:
            known = [rtt_s for rtt_s in self._recent if rtt_s is not None]
            span = f", lowest {duration(min(known))}, highest {duration(max(known))}" if known else ""
            view.append(f"  {self._settled} of {self._count}, {self._lost} lost; RTT now ")
            view.append(f"{duration(self._recent[-1])}{span}\n  ")
            view.append(sparkline(self._recent), style="cyan")
            view.append("\n")
        view.append(f"  {self._throughput}\n" if self._throughput else "", style="dim")
        if self._rates_bps:
            view.append(f"  {rate(self._rates_bps[-1])}\n")
            for line in over_time(self._rates_bps, INTERVAL_S, self._width):
                view.append(f"  {line}\n", style="green")
        view.highlight_regex(LOST, "red")
        view.rstrip()
        return view
