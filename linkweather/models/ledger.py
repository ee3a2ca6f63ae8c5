"""What operators ask: where every report went, per outbox and per sink, how each sink is, and what it refused."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from linkweather.wire import Message


class ReportCounts(Message):
    """Reports: `written` is the sum of all that follow but `conflicts`.

    `committed` are in the journal, `waiting` at the site. The site has `dropped` what its outbox had no room for, lost
    `damaged` ones to damage of the outbox, filed `refiled` ones again under other numbers, and deleted what the
    collector `refused` for good. `gaps` are numbers that
    the site let go of as committed, or that nothing is said of, and that the journal never had: zero, or a loss.
    `conflicts` came with the number of another report.
    """

    written: int = 0
    committed: int = 0
    waiting: int = 0
    dropped: int = 0
    damaged: int = 0
    refused: int = 0
    refiled: int = 0
    gaps: int = 0
    conflicts: int = 0


class OutboxLine(ReportCounts):
    """One boot of one site's outbox; `rows` are those of its committed reports.

    `passed_rows` are those of them that each sink took, or set aside. `refused_by_reason` counts the collector's
    refusals; one that was sent twice counts twice.
    """

    site: str
    boot: str
    rows: int = 0
    passed_rows: dict[str, int] = Field(default_factory=dict)
    refused_by_reason: dict[str, int] = Field(default_factory=dict)


class SinkLine(Message):
    """One sink's rows: `committed_rows` is the sum of the five that follow it, and of `unexplained_rows`.

    `exported_rows` were taken, `waiting_rows` come next, `set_aside_rows` were refused for good, `dropped_rows` were
    set aside once and let go of; retention had deleted `missed_rows` before the sink was configured.
    """

    sink: str
    committed_rows: int
    exported_rows: int
    waiting_rows: int
    set_aside_rows: int
    dropped_rows: int
    missed_rows: int
    unexplained_rows: int


class JournalLoss(Message):
    """Damage of the journal that a start found: why, in a sentence, and how many acknowledged reports it has lost."""

    at: AwareDatetime
    reason: str
    detail: str
    lost: int = 0


class LedgerAnswer(Message):
    """Where every report and row went. `total` counts all outboxes, also the `omitted` ones that have no line here.

    `lost` are the reports that the journal acknowledged and lost, as far as it knows, by the reason, and `damage` the
    newest of what its starts found; where a site still says of them that they were committed, they are `gaps` as well.
    `balanced`: no gaps, and no unexplained rows; `why` says it in a sentence.
    """

    at: AwareDatetime
    total: ReportCounts
    outboxes: tuple[OutboxLine, ...] = ()
    omitted: int = 0
    sinks: tuple[SinkLine, ...] = ()
    lost: dict[str, int] = Field(default_factory=dict)
    damage: tuple[JournalLoss, ...] = ()
    balanced: bool
    why: str


SinkState = Literal["running", "failing", "removed"]


class SinkAnswer(Message):
    """One sink: `lag_rows` of the record wait to be written; `exported_rows` were since the collector's start.

    A `failing` one writes nothing now, or not every kind of rows: `reason` is a code (away, setup, refused, journal,
    fault), `error` a sentence. A `removed` one is no longer configured, and the record keeps its rows for it.
    `set_aside_rows` were refused for good; `dropped_rows` were, and are let go since, on request or beyond the bound.
    """

    sink: str
    kind: str | None = None
    state: SinkState
    reason: str | None = None
    error: str | None = None
    lag_rows: int
    exported_rows: int = 0
    set_aside_rows: int = 0
    dropped_rows: int = 0


class SetAsideAnswer(Message):
    """Of the rows numbered `first` to `last` of a kind, so many were refused; `waiting` ones are to be sent again."""

    kind: str
    first: int
    last: int
    rows: int
    reason: str
    at: AwareDatetime
    waiting: bool = False
