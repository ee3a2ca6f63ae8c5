"""How available and how good a link or a site was over a span: what `/api/v1/sla` answers.

A room of its own beside the history, as those who are asked for figures of a month read nothing else.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from linkweather.wire import Message


class SlaFigures(Message):
    """What reports of a span say; null was not measured.

    Of `reports` reports, in `available_ratio` at least one probe came back. `measured_ratio` is the share of the span,
    minute by minute or hour by hour, of which there is any report: nothing is known of the rest, which counts neither
    as available nor as not. The quantiles are those of the reports' median RTTs, to 1 %.
    """

    reports: int = 0
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
    """The figures of one link, or of all links from and to a `site`, the least available first, and of all together.

    `measured_ratio` in all together is the mean of the links'.
    """

    site: str | None = None
    since: AwareDatetime
    until: AwareDatetime
    resolution: Literal["rows", "minutes", "hours"]
    together: SlaFigures
    links: tuple[LinkSla, ...]
