"""One sink's exporter: follows the journal with a stored cursor, and moves it only when the rows are written.

It works in a thread of its own, so that a sink that is slow, away or faulty delays nothing but itself. Each kind of
rows has its own cursor; a kind of which everything is refused waits alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from collector.sinks.backlog import Backlog, JournalBatch
from collector.sinks.delivery import AllRefusedError, deliver
from collector.store.columns import TABLES
from collector.store.database import Database
from linkweather.backoff import Backoff
from linkweather.containment import note
from linkweather.errors import LinkweatherError
from linkweather.models.ledger import SinkAnswer
from linkweather.sink import RowRefusal, Sink, SinkAwayError, SinkError, SinkSettings, SinkSetupError

log = logging.getLogger(__name__)

# While there is little to write a step follows the last one after RESTS times what that took of the processor's time,
# within these bounds: most of what a step of few rows takes is the same for many.
RESTS = 100
POLL_S = 1.0
POLL_MOST_S = 5.0
RETRY_FIRST_S = 1.0
RETRY_MAX_S = 60.0
MIN_WAIT_S = 1.0
# Asking often would not make the operator quicker.
OPERATOR_RETRY_S = 30.0
REFUSALS_LOG_S = 60.0
STOP_LIMIT_S = 2.0  # for a write in flight
_LAST_S = 0.5  # for a write that ends because its sink was closed
TROUBLES = ("away", "setup", "refused", "journal", "fault")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why nothing is written: a code for the metrics, a sentence for people, and how long to wait."""

    code: str
    sentence: str
    wait_s: float


@dataclass(slots=True)
class _Held:
    """A kind of rows of which everything was refused: it waits alone."""

    backoff: Backoff
    turn: int = 0
    until: float = 0.0
    trouble: Trouble | None = None


class _StoppingError(LinkweatherError):
    """The exporter is to end; what is not written yet is written after the next start."""


def trouble_of(error: Exception, backoff_s: float) -> Trouble:
    """What a failure means; one that is no SinkError is a fault. `backoff_s` is what the back-off would wait now."""
    match error:
        case SinkSetupError():
            return Trouble(error.code, str(error), OPERATOR_RETRY_S)
        case SinkAwayError(retry_after_s=float() | int() as asked_s):
            return Trouble(error.code, str(error), max(asked_s, MIN_WAIT_S))
        case AllRefusedError():
            return Trouble(error.code, f"every row is refused: {error}", backoff_s)
        case SinkError():
            return Trouble(error.code, str(error), backoff_s)
        case duckdb.Error():
            return Trouble("journal", f"the journal cannot be used: {str(error).splitlines()[0]}", RETRY_MAX_S)
    return Trouble("fault", f"the sink failed ({type(error).__name__}: {error}); the log says where", RETRY_MAX_S)


def rest_s(took_s: float) -> float:
    """How long to wait after a step that took so much of the processor's time."""
    return min(max(POLL_S, RESTS * took_s), POLL_MOST_S)


class Exporter:
    """Follows the journal into one sink, which it owns. Counters are plain attributes."""

    def __init__(
        self,
        database: Database,
        name: str,
        settings: SinkSettings,
        sink: Sink,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.backlog = Backlog(database, name)
        self._settings = settings
        self._sink = sink
        self._now = now
        self._clock = clock
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"sink {name}", daemon=True)
        self._waiting_since: dict[str, float] = {}
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        self._held: dict[str, _Held] = {}
        self._trouble: Trouble | None = None
        self._settling = threading.Lock()
        self._given_up = False
        self._behind = False  # more waits than one batch took
        self._refusals_logged_at = -REFUSALS_LOG_S
        self.exported = 0

    @property
    def trouble(self) -> Trouble | None:
        """Why nothing is written, or one kind of rows is not; None while everything works."""
        return self._trouble or next((held.trouble for held in list(self._held.values())), None)

    def answer(self) -> SinkAnswer:
        """How the sink is now; blocks for a moment. Raises duckdb.Error when the disk fails."""
        trouble, aside = self.trouble, self.backlog.set_aside
        return SinkAnswer(
            sink=self.name,
            kind=self._settings.kind,
            state="failing" if trouble else "running",
            reason=trouble.code if trouble else None,
            error=trouble.sentence if trouble else None,
            lag_rows=self.backlog.lag_rows(),
            exported_rows=self.exported,
            set_aside_rows=aside.rows(),
            dropped_rows=aside.dropped_rows(),
        )

    def retry(self) -> None:
        """Send everything again that was set aside, and end any wait."""
        self.backlog.set_aside.want_again()
        for held in list(self._held.values()):
            held.until = 0.0
        self._news.set()

    async def run(self) -> None:
        """Export until cancelled, whatever the sink does."""
        self._thread.start()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.stop()

    def stop(self) -> None:
        """Begin no further write."""
        self._stopping.set()
        self._news.set()

    def close(self, within_s: float = STOP_LIMIT_S) -> None:
        """Stop, and let go of the sink; a write that takes longer than `within_s` is given up, its cursor unmoved."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(within_s)
        with self._settling:  # a cursor that is being moved gets there
            self._given_up = True
        try:
            self._sink.close()
        except Exception as error:  # noqa: BLE001 – a sink of others': the journal is still to be closed
            self._note_fault(error)
        if self._thread.ident is not None:
            self._thread.join(_LAST_S)

    def step(self) -> bool:
        """Write one batch of each kind; false when there was nothing to write.

        Raises SinkError or duckdb.Error, and has then not moved the cursor of the batch that failed.
        """
        wrote = self._send_again()
        for kind in TABLES:
            held = self._held.get(kind)
            if held is not None and self._clock() < held.until:
                continue
            try:
                wrote = self._export(kind, held.turn if held else 0) or wrote
            except AllRefusedError as error:
                self._hold(kind, error)
            else:
                self._held.pop(kind, None)
        return wrote

    def _hold(self, kind: str, error: AllRefusedError) -> None:
        held = self._held.setdefault(kind, _Held(Backoff(RETRY_FIRST_S, RETRY_MAX_S)))
        held.turn += 1
        held.trouble = trouble_of(error, held.backoff.next_s())
        held.until = self._clock() + held.trouble.wait_s

    def _work(self) -> None:
        while not self._stopping.is_set():
            before = self.trouble
            begun_s, wait_s = time.thread_time(), 0.0
            try:
                self._behind = False
                if not self.step() or not self._behind:
                    wait_s = rest_s(time.thread_time() - begun_s)
                self._backoff.reset()
                self._trouble = None
            except _StoppingError:
                return
            except Exception as error:  # noqa: BLE001 – a sink of others' may raise anything: it is contained, and logged
                self._trouble = trouble_of(error, self._backoff.next_s())
                self._note_fault(error)
                wait_s = self._trouble.wait_s
            self._log_change(before)
            self._news.wait(wait_s)
            self._news.clear()

    def _export(self, kind: str, turn: int) -> bool:
        batch = self.backlog.next(kind, self._settings.batch_rows)
        if batch is None or self._lingers(batch):
            return False
        self._behind = self._behind or batch.span >= self._settings.batch_rows
        refusals = deliver(self._write, batch, turn) if len(batch) else []
        with self._unless_given_up():
            self.backlog.advance(batch, refusals, self._now())
        self._waiting_since.pop(kind, None)
        self._count(len(batch), kind, refusals)
        if len(batch) < batch.span and (unsound := batch.unsound()):
            log.warning("sink %s: %d %s rows of the journal cannot be, and are left out", self.name, unsound, kind)
        return True

    def _send_again(self) -> bool:
        found = self.backlog.again(self._settings.batch_rows)
        if found is None:
            return False
        batch, again = found
        self._behind = True
        aside = self.backlog.set_aside
        try:
            refusals = deliver(self._write, batch) if len(batch) else None
        except AllRefusedError as error:
            with self._unless_given_up():
                aside.keep(again.entries, str(error))
            return True
        with self._unless_given_up():
            if refusals is None:  # retention has deleted them
                aside.drop(again.entries)
                return True
            aside.settle(again, refusals, self._now())
        self._count(again.rows, batch.kind, refusals)
        return True

    def _write(self, batch: JournalBatch) -> Sequence[RowRefusal]:
        if self._stopping.is_set():
            raise _StoppingError
        return self._sink.write(batch)

    @contextlib.contextmanager
    def _unless_given_up(self) -> Iterator[None]:
        """Change the journal only while it is surely open."""
        with self._settling:
            if self._given_up:
                raise _StoppingError
            yield

    def _lingers(self, batch: JournalBatch) -> bool:
        since = self._waiting_since.setdefault(batch.kind, self._clock())
        return batch.span < self._settings.batch_rows and self._clock() - since < self._settings.linger_s

    def _count(self, rows: int, kind: str, refusals: Sequence[RowRefusal]) -> None:
        refused = sum(one.rows for one in refusals)
        self.exported += rows - refused
        if refused and self._clock() - self._refusals_logged_at >= REFUSALS_LOG_S:
            self._refusals_logged_at = self._clock()
            log.warning(
                "sink %s: %d of %d %s rows are refused and set aside: %s; `linkweather archive list` counts them",
                *(self.name, refused, rows, kind, refusals[0].reason),
            )

    def _log_change(self, before: Trouble | None) -> None:
        now = self.trouble
        if self._stopping.is_set():
            return
        if now is None and before is not None:
            log.warning("sink %s: takes rows again", self.name)
        elif now is not None and (before is None or now.sentence != before.sentence):
            log.warning("sink %s: %s; it is tried again, and nothing is lost", self.name, now.sentence)

    def _note_fault(self, error: Exception) -> None:
        if not isinstance(error, SinkError | duckdb.Error):
            note(f"sink {self.name}", error)
