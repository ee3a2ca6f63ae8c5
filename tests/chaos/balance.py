"""Whether what every outbox was given is in the journal once, and InfluxDB equals the journal. Pure logic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

Key = tuple[str, str, int]  # site, boot, seq
Point = tuple[str, str, str, str, int]  # kind, src, dst, method, microseconds since 1970
Column = tuple[str, str, str, str, str]  # kind, src, dst, method, field
Checksum = tuple[int, float]  # how many values, and their exact sum
SHOWN = 5


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """What a trigger noted of a report as the outbox took it."""

    at_us: int
    rows: int


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """One site's outbox at the end. `limited`: the operator set a limit that may drop reports."""

    site: str
    written: Mapping[Key, WrittenReport]
    waiting: int
    dropped: int
    refused: int
    limited: bool


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """What the journal holds: how often each key was received, each row's point and report, and checksums."""

    received: Counter[Key]
    rows: Sequence[tuple[Point, Key]]
    set_aside: Counter[Point]
    checksums: Mapping[Column, Checksum]


@dataclass(frozen=True, slots=True)
class ArchiveRecord:
    """What InfluxDB holds."""

    points: Counter[Point]
    checksums: Mapping[Column, Checksum]


@dataclass(slots=True)
class BalanceLine:
    """One outbox's reports, and the rows of those in the journal; the last three must be zero."""

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
    missing: int = 0
    twice: int = 0
    altered: int = 0


@dataclass(slots=True)
class Balance:
    """The lines, and everything that does not balance, in sentences that name the first keys."""

    lines: list[BalanceLine] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def table(self) -> Iterator[str]:
        """The lines as text, aligned."""
        names = [each.name for each in fields(BalanceLine)]
        rows = [[name.replace("_", " ") for name in names]]
        rows += [[str(getattr(line, name)) for name in names] for line in self.lines]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            yield "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))

    def expect_none(self, what: str, found: Sequence[object]) -> None:
        """Note a difference for what should be empty."""
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            self.differences.append(f"{len(found)} {what}: {', '.join(map(str, found[:SHOWN]))}{more}")


def balance(outboxes: Sequence[OutboxRecord], journal: JournalRecord, archive: ArchiveRecord) -> Balance:
    """Compare the three records, key by key, point by point and sum by sum."""
    found = Balance()
    by_report: dict[Key, list[Point]] = {}
    for point, key in journal.rows:
        by_report.setdefault(key, []).append(point)
    for outbox in outboxes:
        _balance_site(found, outbox, journal, archive, by_report)
    written = {key for outbox in outboxes for key in outbox.written}
    found.expect_none("reports in the journal that no outbox was given", sorted(journal.received.keys() - written))
    found.expect_none("reports with rows that are not in `received`", sorted(by_report.keys() - journal.received))
    expected = Counter(point for point, _ in journal.rows)
    expected.subtract(journal.set_aside)
    found.expect_none("points not in InfluxDB", sorted((+_minus(expected, archive.points)).keys()))
    found.expect_none("points in InfluxDB only", sorted((+_minus(archive.points, expected)).keys()))
    if not journal.set_aside:  # what was set aside is in no sum of InfluxDB's
        columns = sorted(journal.checksums.keys() | archive.checksums)
        unequal = [each for each in columns if journal.checksums.get(each) != archive.checksums.get(each)]
        found.expect_none("checksums of a field that differ", unequal)
    return found


def _balance_site(
    found: Balance,
    outbox: OutboxRecord,
    journal: JournalRecord,
    archive: ArchiveRecord,
    by_report: Mapping[Key, Sequence[Point]],
) -> None:
    may_drop = outbox.dropped if outbox.limited else 0
    missing: list[Key] = []
    twice: list[Key] = []
    altered: list[Key] = []
    for boot in sorted({boot for _, boot, _ in outbox.written}):
        keys = [key for key in sorted(outbox.written) if key[1] == boot]
        points = [point for key in keys for point in by_report.get(key, ())]
        gone = [key for key in keys if not journal.received[key]]
        repeated = [
            key for key in keys if journal.received[key] > 1 or len(by_report.get(key, ())) > outbox.written[key].rows
        ]
        changed = [key for key in keys if key not in gone and not _as_written(outbox.written[key], by_report.get(key))]
        lost, may_drop = gone[may_drop:], max(0, may_drop - len(gone))
        line = BalanceLine(outbox.site, boot, len(keys), len(keys) - len(gone), rows=len(points))
        line.in_influx = len(points) - sum((+_minus(Counter(points), archive.points)).values())
        line.set_aside = sum(point in journal.set_aside for point in points)
        line.missing, line.twice, line.altered = len(lost), len(repeated), len(changed)
        found.lines.append(line)
        missing, twice, altered = missing + lost, twice + repeated, altered + changed
    if found.lines:
        last = found.lines[-1]
        last.waiting, last.dropped, last.refused = outbox.waiting, outbox.dropped, outbox.refused
    found.expect_none(f"reports of {outbox.site} missing in the journal", missing)
    found.expect_none(f"reports of {outbox.site} twice in the journal", twice)
    found.expect_none(f"reports of {outbox.site} not as they were written", altered)
    for count, what in ((outbox.waiting, "wait still"), (outbox.refused, "are refused")):
        found.differences += [f"{count} reports of {outbox.site} {what}"] * bool(count)


def _as_written(report: WrittenReport, points: Sequence[Point] | None) -> bool:
    times = {point[-1] for point in points or ()}
    return len(points or ()) >= report.rows and times <= {report.at_us}


def _minus(minuend: Counter[Point], subtrahend: Counter[Point]) -> Counter[Point]:
    difference = Counter(minuend)
    difference.subtract(subtrahend)
    return difference
