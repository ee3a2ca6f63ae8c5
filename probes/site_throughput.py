"""A site's throughput tests, wired: iperf3, the lease, the budgets, what earlier tests found, and the latency probes.

A room of its own, so that the daemon wires measurements, and not the parts of one.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Protocol

from linkweather.wire import ThroughputRow
from probes.settings import ProbeSettings
from probes.throughput.attention import Attention
from probes.throughput.budget import BudgetStore
from probes.throughput.history_store import HistoryStore
from probes.throughput.iperf3_ends import SiteIperf3
from probes.throughput.iperf3_output import Build
from probes.throughput.iperf3_server import ServerPlace
from probes.throughput.leases import SiteLease
from probes.throughput.negotiation import Negotiator
from probes.throughput.scheduler import ThroughputScheduler

_token = partial(secrets.token_urlsafe, 24)


class LoadedLatency(Protocol):
    """What the latency probes do beside a test."""

    def mark_loaded(self, site: str | None) -> None:
        """A test runs with this site, or is over."""

    def working_latency(self, site: str, last_s: float) -> float | None:
        """The median RTT to the site in the last seconds of a test."""


class SiteThroughput:
    """The `scheduler` of a site's tests, the `negotiator` that arranges them, and the `budgets` that they spend.

    The constructor opens the files in the data folder; `close` closes them. `on_row` gets every test's row. `iperf3`
    is the installed one, None where there is none that can be used.
    """

    def __init__(
        self,
        settings: ProbeSettings,
        iperf3: Build | None,
        *,
        publish: Callable[[str, bytes], Awaitable[bool]],
        on_row: Callable[[datetime, ThroughputRow], None],
        latency: LoadedLatency,
        rng: random.Random,
    ) -> None:
        self._site = settings.site
        self._latency = latency
        self.budgets = BudgetStore(settings.data_dir / "ledger.sqlite", self._site)
        self._histories = HistoryStore(settings.data_dir / "tests.sqlite")
        self._attention = Attention(rng, self._histories.load())
        self.negotiator = Negotiator(
            self._site,
            publish=publish,
            lease=SiteLease(),
            iperf3=_site_iperf3(settings, iperf3) if iperf3 else None,
            token=_token,
            on_start=latency.mark_loaded,
            on_end=self._on_test_end,
            afford=self._afford,
            working_latency=latency.working_latency,
        )
        self.scheduler = ThroughputScheduler(
            self._site,
            self.negotiator,
            on_row,
            budgets=self.budgets,
            attention=self._attention,
            keep=self._histories.keep,
        )

    def close(self) -> None:
        """Close the files."""
        self.budgets.close()
        self._histories.close()

    def _on_test_end(self, _peer: str) -> None:
        self._latency.mark_loaded(None)
        self._attention.mark_loaded(time.time())

    async def _afford(self, dst: str, max_bytes: int | None) -> bool:
        # Only the destination learns how much the test moved: a source spends the whole limit.
        return await asyncio.to_thread(self.budgets.reserve, time.time(), self._site, dst, max_bytes) is not None


def _site_iperf3(settings: ProbeSettings, build: Build) -> SiteIperf3:
    first, last = settings.throughput_ports
    place = ServerPlace(next(iter(settings.bind), None), range(first, last + 1))
    return SiteIperf3(place, settings.data_dir / "keys", build, _token)
