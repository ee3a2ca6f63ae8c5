"""What a test by hand tells while it runs, and to whom: nobody, or a live display."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from probes.adhoc.adhoc_options import Options
from probes.adhoc.findings import Target
from probes.adhoc.method_choice import MethodName
from probes.throughput.iperf3_output import Interval


class Watch(Protocol):
    """Hears of each step of a test as it happens."""

    def trying(self, method: MethodName) -> None:
        """A method is tried."""

    def chosen(self, choice: str, count: int) -> None:
        """The method that is used, and why, and for how many probes."""

    def probe(self, rtt_s: float | None) -> None:
        """A probe settled; None: it was lost, or its reply is late or of no use."""

    def connecting(self, port: int, *, reverse: bool) -> None:
        """The throughput test begins."""

    def interval(self, interval: Interval) -> None:
        """An interval of the throughput test is over."""


class Unwatched:
    """Nobody looks: the output is no terminal, or is to be one JSON document."""

    def trying(self, method: MethodName) -> None:
        """Say nothing."""

    def chosen(self, choice: str, count: int) -> None:
        """Say nothing."""

    def probe(self, rtt_s: float | None) -> None:
        """Say nothing."""

    def connecting(self, port: int, *, reverse: bool) -> None:
        """Say nothing."""

    def interval(self, interval: Interval) -> None:
        """Say nothing."""


class Stop:
    """The user's wish to end early. What runs at that moment, or begins then, says how it is ended."""

    def __init__(self) -> None:
        self.asked = False
        self._hows: list[Callable[[], None]] = []

    def ask(self) -> None:
        """End all that runs now, and begin nothing more."""
        self.asked = True
        for how in list(self._hows):
            how()

    @contextlib.contextmanager
    def by(self, how: Callable[[], None]) -> Iterator[None]:
        """Within this block, `how` ends what runs."""
        self._hows.append(how)
        if self.asked:
            how()
        try:
            yield
        finally:
            self._hows.remove(how)


class Job(NamedTuple):
    """One test by hand: what is asked for, where, who looks, and who may end it."""

    options: Options
    target: Target
    watch: Watch
    stop: Stop
