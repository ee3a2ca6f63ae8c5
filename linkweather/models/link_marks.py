"""What happened on a link: the paths it took and its throughput tests, as `/api/v1/history/marks` answers.

A room of its own beside the history, as marks are single moments and no steps.
"""

from __future__ import annotations

from pydantic import AwareDatetime

from linkweather.wire import Message


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
