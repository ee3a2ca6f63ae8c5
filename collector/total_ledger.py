"""The ledger over all: where every report and every row went, all of one moment, and a sentence that says it.

It sums up the ledgers of reports (`store/outbox_ledger`) and of rows (`sinks/sink_ledger`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

import duckdb

from collector.sinks import sink_ledger
from collector.store import outbox_ledger
from collector.store.journal import Journal
from collector.store.outbox_ledger import OutboxLedger
from linkweather.models.ledger import JournalLoss, LedgerAnswer, OutboxLine, ReportCounts, SinkLine
from linkweather.units import count
from linkweather.wire import Status

WRITE_EVERY_S = 60.0


class Ledger:
    """Hears what the sites say in their statuses, keeps it, and answers. `sinks` are those configured."""

    def __init__(
        self, journal: Journal, sinks: Collection[str], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database = journal.database
        self._damage = journal.damage
        self._sinks = sinks
        self._now = now
        self.outboxes = OutboxLedger(database)

    def said(self, site: str, status: Status) -> None:
        """Take over what a site's status says of its outbox; a will says nothing."""
        self.outboxes.said(site, status.boots)

    async def run(self) -> None:
        """Keep what the sites said in the journal, until cancelled: a boot that is over is said for a while only."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await asyncio.to_thread(self.write)

    def write(self) -> None:
        """Write what was said to the journal. Blocks; where the disk fails, it stays in memory."""
        with contextlib.suppress(duckdb.Error):
            self.outboxes.write()

    def answer(self, site: str | None, limit: int) -> LedgerAnswer:
        """The ledger now, of all sites or one, with `limit` lines at most. Blocks; raises duckdb.Error."""
        with self._database.snapshot() as query:
            lines = self.outboxes.lines(query)
            sinks = sink_ledger.lines(query, self._sinks)
            passed = sink_ledger.passed_rows(query) if self._sinks else {}
        mine = [line for line in lines if site in {None, line.site}]
        # What is not at rest comes first where not all have room.
        shown = sorted(mine, key=lambda line: (not line.gaps, not line.waiting, not line.dropped))[:limit]
        total = outbox_ledger.total(mine)
        return LedgerAnswer(
            at=self._now(),
            total=total,
            outboxes=tuple(
                line.model_copy(update={"passed_rows": dict(passed.get((line.site, line.boot), {}))}) for line in shown
            ),
            omitted=len(mine) - len(shown),
            sinks=tuple(sinks),
            lost=self._damage.lost,
            damage=tuple(
                JournalLoss(at=one.at, reason=one.reason, detail=one.detail, lost=one.lost_reports)
                for one in self._damage.newest
            ),
            balanced=balanced(total, sinks),
            why=sentence(total, mine, sinks, self._damage.lost),
        )


def balanced(total: ReportCounts, sinks: Sequence[SinkLine]) -> bool:
    """Whether every report and every row is explained."""
    return not total.gaps and not any(sink.unexplained_rows for sink in sinks)


def sentence(
    total: ReportCounts, lines: Sequence[OutboxLine], sinks: Sequence[SinkLine], lost: Mapping[str, int]
) -> str:
    """Where everything went, in one line."""
    names = ("committed", "waiting", "dropped", "damaged", "refused", "refiled")
    parts = {name: getattr(total, name) for name in names}
    said = [f"{number} {name}" for name, number in parts.items() if number or name == "committed"]
    said += [f"{total.gaps} missing ({_places(lines)})"] * bool(total.gaps)
    exported = [_sink_sentence(sink) for sink in sinks]
    verdict = "the ledger balances" if balanced(total, sinks) else "the ledger does NOT balance"
    conflicts = [f"{total.conflicts} came with the number of another"] * bool(total.conflicts)
    losses = [f"the journal has lost {count(number, 'report')} ({reason})" for reason, number in lost.items()]
    return "; ".join(
        [f"{count(total.written, 'report')} written = {' + '.join(said)}", *conflicts, *losses, *exported, verdict]
    )


def _places(lines: Sequence[OutboxLine]) -> str:
    return ", ".join(f"{line.site}/{line.boot}" for line in [line for line in lines if line.gaps][:3])


def _sink_sentence(sink: SinkLine) -> str:
    parts = {
        "exported": sink.exported_rows,
        "waiting": sink.waiting_rows,
        "set aside": sink.set_aside_rows,
        "dropped": sink.dropped_rows,
        "deleted before it came": sink.missed_rows,
        "UNEXPLAINED": sink.unexplained_rows,
    }
    said = [f"{number} {name}" for name, number in parts.items() if number or name == "exported"]
    return f"{sink.sink}: {count(sink.committed_rows, 'row')} = {' + '.join(said)}"
