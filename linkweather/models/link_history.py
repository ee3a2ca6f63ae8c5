"""The history of a link: what `/api/v1/history` answers. A room of its own beside the links as they are now."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from linkweather.wire import Message


class LinkHistoryStep(Message):
    """What a link was like in `[at, at + step)`; null was not measured.

    Of `reports` reports, in `available_ratio` at least one probe came back. The quantiles are those of the reports'
    median RTTs, to 1 %, the extremes those of single probes; of `tests` throughput tests `measured` gave a goodput.
    """

    at: AwareDatetime
    reports: int = 0
    available_ratio: float | None = None
    sent: int | None = None
    received: int | None = None
    lost_forward: int | None = None
    lost_back: int | None = None
    loss_ratio: float | None = None
    rtt_min_s: float | None = None
    rtt_mean_s: float | None = None
    rtt_p05_s: float | None = None
    rtt_p25_s: float | None = None
    rtt_p50_s: float | None = None
    rtt_p75_s: float | None = None
    rtt_p95_s: float | None = None
    rtt_p99_s: float | None = None
    rtt_max_s: float | None = None
    tests: int = 0
    measured: int = 0
    goodput_min_bps: float | None = None
    goodput_mean_bps: float | None = None
    goodput_max_bps: float | None = None


class LinkHistoryAnswer(Message):
    """One link over time, from rows, minutes or hours. Steps of which nothing is known are left out."""

    src: str
    dst: str
    since: AwareDatetime
    until: AwareDatetime
    step_s: int
    resolution: Literal["rows", "minutes", "hours"]
    steps: tuple[LinkHistoryStep, ...]
