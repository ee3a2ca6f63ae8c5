"""A link over time.

Its steps (`/api/v1/history`), its paths and throughput tests (`/api/v1/history/marks`), and how available and how good
a link or a site was over a span (`/api/v1/sla`).
"""

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


class PathHop(Message):
    """What answered at one TTL of a trace; `address` is null where nothing did."""

    ttl: int
    address: str | None = None
    rtt_s: float | None = None


class TakenPath(Message):
    """The path from `at` on, until the next one of the answer; `reached` is whether the destination itself answered."""

    at: AwareDatetime
    fingerprint: str
    reached: bool | None = None
    hops: tuple[PathHop, ...] = ()


class LinkTestMark(Message):
    """A throughput test that ended `at`: its goodput, or its failure and `detail`; `reason` is why it ran."""

    at: AwareDatetime
    duration_s: float | None = None
    goodput_bps: float | None = None
    failure: str | None = None
    detail: str | None = None
    reason: str | None = None


class LinkMarksAnswer(Message):
    """The paths and the throughput tests of a link in a span, the oldest first.

    The first path may be older than the span: it was the one at its beginning. Of many paths or tests the newest are
    here, and `omitted` says how many are not.
    """

    src: str
    dst: str
    since: AwareDatetime
    until: AwareDatetime
    paths: tuple[TakenPath, ...] = ()
    tests: tuple[LinkTestMark, ...] = ()
    omitted: int = 0


class SlaFigures(Message):
    """What reports of a span say; null was not measured.

    The span is `available_s`, `unavailable_s` and `unknown_s`: of each minute, or hour, of which there are reports, the
    share in which at least one probe came back, and the rest; and the minutes or hours without any. `available_ratio`
    is the available part of the known time, `measured_ratio` the known part of the span. The quantiles are those of the
    reports' median RTTs, to 1 %.
    """

    reports: int = 0
    available_s: float = 0.0
    unavailable_s: float = 0.0
    unknown_s: float = 0.0
    measured_ratio: float | None = None
    available_ratio: float | None = None
    sent: int | None = None
    received: int | None = None
    loss_ratio: float | None = None
    rtt_min_s: float | None = None
    rtt_p50_s: float | None = None
    rtt_p95_s: float | None = None
    rtt_p99_s: float | None = None
    rtt_max_s: float | None = None


class LinkSla(SlaFigures):
    """The figures of one link."""

    src: str
    dst: str


class SlaAnswer(Message):
    """The figures of one link, of all from and to a `site`, or of all, the least available first, and of all together.

    The times of all together are the sums of the links'.
    """

    site: str | None = None
    since: AwareDatetime
    until: AwareDatetime
    resolution: Literal["rows", "minutes", "hours"]
    together: SlaFigures
    links: tuple[LinkSla, ...]
