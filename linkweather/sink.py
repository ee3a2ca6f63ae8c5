"""The door for sinks: what a place for rows gets, and what it must do. Loading it loads no engine.

A sink writes; everything else is done for it, for each configured sink by an exporter of its own:

    journal ──cursor──▶ RowBatch ──▶ Sink.write ──▶ returns: every row is there, but for the refusals in its answer
                           ▲                    └─▶ raises:
                           │                          SinkAwayError      the place is away: the same rows, later
                           │                          SinkSetupError     the operator must mend it: the same, later
                           └──── halves of it ◀────── BatchRefusedError  some rows are bad, unknown which

The cursor moves when `write` returns. A crash between the two sends rows again, so a sink writes under names that
follow from the rows: an InfluxDB point by its series and time, a file by the batch's stream and first row. Then rows
are sent at least once, and are there exactly once.

A refused row is set aside: counted, listed, and sent again on request. A place that takes nothing of a batch is
failing, whatever it answers: then nothing is set aside, and the batch waits.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Protocol, Self

from pydantic import Field

from linkweather.broker import Broker
from linkweather.errors import LinkweatherError
from linkweather.mesh import NotNegative, Settings
from linkweather.wire import DeviceRow, Row


class SinkError(LinkweatherError):
    """Nothing can be written now. `code` groups failures in the metrics, the text is one sentence."""

    code = "failed"


class SinkAwayError(SinkError):
    """The place is away, or busy: the exporter tries again, ever more slowly, or after `retry_after_s`."""

    code = "away"

    def __init__(self, sentence: str, retry_after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class SinkSetupError(SinkError):
    """Only the operator can mend it: a password, a name, a right. The exporter tries again every half minute."""

    code = "setup"


class BatchRefusedError(SinkError):
    """The place refuses a batch for good and does not say which rows are at fault: the exporter finds them by halving.

    With `too_large` it is the batch's size, and no row need be at fault.
    """

    code = "refused"

    def __init__(self, reason: str, *, too_large: bool = False) -> None:
        super().__init__(reason)
        self.too_large = too_large


@dataclass(frozen=True, slots=True)
class RowRefusal:
    """Of the rows numbered `first` to `last`, so many were refused for good: one row, or some of a part of a batch.

    `beyond_limit` marks what a limit of the operator's own keeps out, a bucket's retention say: then even a batch of
    which every row is refused is in order.
    """

    first: int
    last: int
    rows: int
    reason: str
    beyond_limit: bool = False


@dataclass(frozen=True, slots=True)
class ExportedRow:
    """One row of the record: the report that it came in, and the row as it was published."""

    number: int
    site: str
    boot: str
    seq: int
    at: datetime
    received_at: datetime
    row: Row | DeviceRow
    path_fingerprint: str | None = None  # of a throughput row: the path that its bytes took


class RowBatch(Protocol):
    """Rows of one kind, in the order of commit. The record is read when one of `rows`, `columns` and `sql` is called.

    Call one, once.
    """

    @property
    def kind(self) -> str:
        """The kind of the rows: latency, throughput, path or capacity."""

    @property
    def stream(self) -> str:
        """What the numbers count in: another name where the sink's cursor, or the journal, began anew."""

    @property
    def first(self) -> int:
        """The first row's number. Rows are numbered from 1 for each kind, in the order of commit."""

    @property
    def last(self) -> int:
        """The last row's number."""

    def __len__(self) -> int:
        """How many rows these are."""

    def rows(self) -> Sequence[ExportedRow]:
        """The rows, typed."""

    def columns(self) -> Mapping[str, Any]:
        """The rows as numpy columns, `number` and one a field; masked where a field is not set, lists as JSON text."""

    @property
    def source(self) -> str:
        """The rows as a table for `sql`, a column a field; times are UTC TIMESTAMPs, lists JSON text."""

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """What DuckDB answers, where `rows` would be too slow."""


class Sink(Protocol):
    """A place for rows. One thread writes; a write may block, and is given up at the collector's end."""

    def write(self, batch: RowBatch) -> Sequence[RowRefusal]:
        """Write the whole batch; returns what is refused for good.

        Raises SinkAwayError, SinkSetupError or BatchRefusedError; what of the batch is written by then may be written
        again.
        """

    def close(self) -> None:
        """Let go of connections; a write that hangs in its thread is to end by it, with any error."""


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What the collector lends a sink: the sink's name in the settings, and the broker that the collector uses."""

    name: str
    broker: Broker


class SinkSettings(Settings):
    """One `[sinks.NAME]` table. A kind of sink adds its own keys, and opens itself.

    At most `batch_rows` rows are written at once; fewer wait up to `linger_s` for more.
    """

    kind: str = ""
    batch_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    linger_s: NotNegative = 0.0

    @abstractmethod
    def open(self, context: SinkContext) -> Sink:
        """The sink; here, not before, its engine is imported. Raises OperatorError for what can never work."""

    def below(self, folder: Path) -> Self:
        """The same with every path made relative to `folder`."""
        paths = {name: folder / value for name, value in self if isinstance(value, Path)}
        return self.model_copy(update=paths)
