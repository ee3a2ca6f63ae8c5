"""How available and how good a link or a site was over a span: what `/api/v1/sla` answers.

A room of its own beside the history, as those who are asked for figures of a month read nothing else.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from linkweather.wire import Message


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
