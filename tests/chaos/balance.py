"""Whether what every outbox was given is in the journal once, and InfluxDB equals the journal. Pure logic.

What was given is read from a table beside the reports, which no code of the product knows. The product's own ledger,
as the API answers it, is held to the same records: it says zero missing, and it agrees outbox by outbox.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

from linkweather.models.ledger import LedgerAnswer, OutboxLine

Key = tuple[str, str, int]  # site, boot, seq
# kind, src, dst, method, a checksum of all its fields, microseconds since 1970
Point = tuple[str, str, str, str, int, int]
SHOWN = 5


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """What a trigger noted of a report as the outbox took it."""

    at_us: int
    rows: int


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """One outbox at the end. `may_drop`: the operator set a limit, or damaged the file, so that it may drop reports.

    `destroyed` are reports of which the run itself took the only copy away.
    """

    site: str
    written: Mapping[Key, WrittenReport]
    waiting: frozenset[Key]
    dropped: int
    refused: int
    may_drop: bool
    destroyed: frozenset[Key] = frozenset()


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """What the journal holds: how often each key was received, and each row's point and report.

    `damaged`: the run destroyed a part of it, so that reports may be missing; the ledger must count each as a gap.
    """

    received: Counter[Key]
    rows: Sequence[tuple[Point, Key]]
    set_aside: Counter[Point]
    damaged: bool = False


@dataclass(slots=True)
class BalanceLine:
    """One boot of an outbox, and the rows of its reports in the journal; the last four must be zero.

    `named` are missing from a damaged journal, and counted by the ledger.
    """

    site: str
    boot: str
    written: int = 0
    committed: int = 0
    waiting: int = 0
    dropped: int = 0
    refused: int = 0
    rows: int = 0
    in_influx: int = 0
    set_aside: int = 0
    destroyed: int = 0
    named: int = 0
    missing: int = 0
    twice: int = 0
    altered: int = 0
    uncounted: int = 0


@dataclass(slots=True)
class Balance:
    """The lines, and everything that does not balance, in sentences that name the first keys."""

    ledger: LedgerAnswer
    lines: list[BalanceLine] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def table(self) -> Iterator[str]:
        """The lines as text, aligned, and below them what the product's ledger says."""
        names = [each.name for each in fields(BalanceLine)]
        rows = [[name.replace("_", " ") for name in names]]
        rows += [[str(getattr(line, name)) for name in names] for line in self.lines]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            yield "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
        yield f"ledger: {self.ledger.why}"

    def expect_none(self, what: str, found: Sequence[object]) -> None:
        """Note a difference for what should be empty."""
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            self.differences.append(f"{len(found)} {what}: {', '.join(map(str, found[:SHOWN]))}{more}")


def balance(
    outboxes: Sequence[OutboxRecord], journal: JournalRecord, archive: Counter[Point], ledger: LedgerAnswer
) -> Balance:
    """Compare the records, key by key and point by point, and hold the ledger to them; `archive` is InfluxDB's."""
    found = Balance(ledger)
    by_report: dict[Key, list[Point]] = {}
    for point, key in journal.rows:
        by_report.setdefault(key, []).append(point)
    for outbox in outboxes:
        _balance_outbox(found, outbox, journal, archive, by_report)
    written = {key for outbox in outboxes for key in outbox.written}
    found.expect_none("reports in the journal that no outbox was given", sorted(journal.received.keys() - written))
    found.expect_none("reports with rows that are not in `received`", sorted(by_report.keys() - journal.received))
    _compare_archive(found, outboxes, journal, archive)
    _check_totals(found, journal, destroyed=any(outbox.destroyed for outbox in outboxes))
    return found


def _balance_outbox(
    found: Balance,
    outbox: OutboxRecord,
    journal: JournalRecord,
    archive: Counter[Point],
    by_report: Mapping[Key, Sequence[Point]],
) -> None:
    may_drop = outbox.dropped if outbox.may_drop else 0
    missing: list[Key] = []
    twice: list[Key] = []
    altered: list[Key] = []
    said = {(line.site, line.boot): line for line in found.ledger.outboxes}
    for boot in sorted({boot for _, boot, _ in outbox.written}):
        keys = [key for key in sorted(outbox.written) if key[1] == boot]
        points = [point for key in keys for point in by_report.get(key, ())]
        gone = [key for key in keys if not journal.received[key]]
        left = [key for key in gone if key not in outbox.destroyed]
        repeated = [
            key for key in keys if journal.received[key] > 1 or len(by_report.get(key, ())) > outbox.written[key].rows
        ]
        changed = [key for key in keys if key not in gone and not _as_written(outbox.written[key], by_report.get(key))]
        counted = said.get((outbox.site, boot), OutboxLine(site=outbox.site, boot=boot))
        named = counted.gaps if journal.damaged else 0
        lost, may_drop = left[may_drop + named :], max(0, may_drop - len(left))
        line = BalanceLine(outbox.site, boot, len(keys), len(keys) - len(gone), rows=len(points))
        line.in_influx = len(points) - (Counter(points) - archive).total()
        line.set_aside = sum(point in journal.set_aside for point in points)
        line.destroyed, line.named = len(gone) - len(left), named
        line.missing, line.twice, line.altered = len(lost), len(repeated), len(changed)
        line.uncounted = _uncounted(line, counted, len(left))
        found.lines.append(line)
        missing, twice, altered = missing + lost, twice + repeated, altered + changed
        if line.uncounted:
            found.differences.append(f"the ledger says of {outbox.site}/{boot}: {counted!r}, and not {line}")
    if found.lines:
        last = found.lines[-1]
        last.waiting, last.dropped, last.refused = len(outbox.waiting), outbox.dropped, outbox.refused
    found.expect_none(f"reports of {outbox.site} missing in the journal", missing)
    found.expect_none(f"reports of {outbox.site} twice in the journal", twice)
    found.expect_none(f"reports of {outbox.site} not as they were written", altered)
    found.expect_none(f"reports of {outbox.site} wait still", sorted(outbox.waiting))
    found.differences += [f"{outbox.refused} reports of {outbox.site} are refused"] * bool(outbox.refused)


def _uncounted(line: BalanceLine, said: OutboxLine, left: int) -> int:
    """By how many reports the ledger's line differs from ours; what the run destroyed it may know of or not."""
    let_go = said.dropped + said.damaged + said.refused + said.refiled + said.gaps
    return (
        abs(said.committed - line.committed)
        + abs(said.rows - line.rows)
        + _beyond(said.written - line.written, -line.destroyed, 0)
        + _beyond(let_go - left, 0, line.destroyed)
    )


def _beyond(value: int, least: int, most: int) -> int:
    return max(least - value, value - most, 0)


def _compare_archive(
    found: Balance, outboxes: Sequence[OutboxRecord], journal: JournalRecord, archive: Counter[Point]
) -> None:
    expected = Counter(point for point, _ in journal.rows) - journal.set_aside
    found.expect_none("points not in InfluxDB as they are in the journal", sorted((expected - archive).keys()))
    only = set(archive - expected)
    if journal.damaged:  # what InfluxDB got before the journal lost it
        times = {
            report.at_us for outbox in outboxes for key, report in outbox.written.items() if key not in journal.received
        }
        only = {point for point in only if point[-1] not in times}
    found.expect_none("points in InfluxDB only", sorted(only))


def _check_totals(found: Balance, journal: JournalRecord, *, destroyed: bool) -> None:
    total, sinks = found.ledger.total, found.ledger.sinks
    if total.waiting or (total.gaps and not journal.damaged and not destroyed):
        found.differences.append(f"the ledger has {total.waiting} reports waiting and {total.gaps} missing")
    if found.ledger.balanced != (not total.gaps):
        found.differences.append(f"the ledger is not balanced: {found.ledger.why}")
    set_aside = journal.set_aside.total()
    for sink in sinks:
        if (sink.waiting_rows, sink.set_aside_rows, sink.dropped_rows, sink.unexplained_rows) != (0, set_aside, 0, 0):
            found.differences.append(f"the ledger has rows that are not exported: {sink!r}")
        if not journal.damaged and sink.exported_rows != len(journal.rows) - set_aside:
            found.differences.append(f"the ledger has {sink.exported_rows} rows exported, of {len(journal.rows)}")
    found.differences += [] if sinks else ["the ledger has no sink"]


def _as_written(report: WrittenReport, points: Sequence[Point] | None) -> bool:
    times = {point[-1] for point in points or ()}
    return len(points or ()) >= report.rows and times <= {report.at_us}
