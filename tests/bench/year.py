"""What a year of a mesh takes on the disk, and how long the history of one link takes over any span of it.

    python -m tests.bench.year [--sites 12] [--noise 0.004] [--of 100]

A day of rows, a report of every site each 5 s, goes through the real roll-ups. The record of a year is that day again
and again: 90 days of minutes, sorted by link three days at a time, and 365 of hours, by months, as the roll-ups leave
them. Bytes a line follow from the file's growth, bytes a row from that of another with rows of the whole mesh, and from
them what the year of a mesh `--of` so many sites takes.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collector.settings import JournalSettings
from collector.store.journal import Journal
from collector.store.journal_tables import append_rows
from collector.store.link_history import LinkHistoryReader, default_step_s, span
from collector.store.roll_ups import RollUps

INTERVAL_S = 5
DAY_ROWS = 86_400 // INTERVAL_S
MINUTE_DAYS, YEAR_DAYS = 90, 365
DAY = datetime(2026, 11, 1, tzinfo=UTC)
SPANS = {"hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 30.0, "quarter": 90.0, "year": 365.0}
ROWS = 1_500_000  # of the whole mesh, for the bytes of one
LINKS = 20  # whose history is asked for, over each span

# Figures as probes report them, in microseconds; the RTT is normal around that of its link.
_ROWS = """
    WITH links AS (SELECT i, j, 0.002 + hash(i, j) % 1000 / 1e4 AS base FROM range($sites) a(i), range($sites) b(j)
                   WHERE i <> j),
         noises AS (SELECT frame, i, j, base, abs(sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())) AS one,
                           abs(sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())) AS other
                    FROM range($first, $last) c(frame), links),
         figures AS (SELECT *, base * (1 + $noise * one) AS rtt, base / 100 + 0.0002 * other AS jitter,
                            (random() < 0.03)::INT AS lost FROM noises)
    SELECT $first * count(*) OVER () // ($last - $first) + row_number() OVER (ORDER BY frame, i, j) AS number,
           format('s{:04d}', i) AS site, 'boot-' || i AS boot, frame AS seq,
           $day::TIMESTAMP
               + to_microseconds(((frame + i / $sites) * $interval * 1e6 + hash(frame, i) % 20000)::BIGINT) AS "at",
           "at" + to_microseconds((3000 + hash(i, frame) % 1000)::BIGINT) AS received_at,
           site AS src, format('s{:04d}', j) AS dst, 'stamp' AS method, $interval AS window_s, 50 AS sent,
           50 - lost AS received, lost AS lost_forward, 0 AS lost_back, 0 AS duplicated,
           0 AS reordered, 0 AS late,
           round(rtt - jitter / 2, 6) AS rtt_min_s, round(rtt + jitter / 10, 6) AS rtt_mean_s,
           round(rtt, 6) AS rtt_p50_s, round(rtt + jitter, 6) AS rtt_p95_s, round(rtt + 1.5 * jitter, 6) AS rtt_p99_s,
           round(rtt + 2 * jitter, 6) AS rtt_max_s, round(jitter / 2, 6) AS rtt_stdev_s,
           round(rtt_p95_s - rtt_p50_s, 6) AS jitter_p95_p50_s, round(jitter / 3, 6) AS jitter_rfc3550_s,
           round(rtt * 0.49, 6) AS owd_forward_p50_s, round(rtt * 0.51, 6) AS owd_back_p50_s,
           round(0.00013 + jitter / 100, 6) AS owd_error_s, 'kernel' AS "timestamp", false AS during_throughput
    FROM figures ORDER BY number"""
# The lines of the one day again, so many days earlier.
_AGAIN = """
    INSERT INTO {table} BY NAME SELECT {table}.* REPLACE ("at" - to_days(days::INTEGER) AS "at")
    FROM {table}, range($from_, $to) t(days) WHERE "at" >= $day ORDER BY src, dst, "at" """


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=12)
    parser.add_argument("--noise", type=float, default=0.004, help="of an RTT, as a share of it")
    parser.add_argument("--of", type=int, default=100, help="sites of the mesh whose year is reckoned")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = bytes_a_row(Path(folder) / "rows.duckdb", options.of, options.noise)
        journal = Journal(Path(folder) / "journal.duckdb")
        print_sizes({**filled(journal, options.sites, options.noise), "row": row}, options.sites, options.of)
        print_histories(journal, options.sites)
        journal.close()


def bytes_a_row(path: Path, sites: int, noise: float) -> float:
    """What a row of a mesh of so many sites takes: a report has a row for each peer, which say the same in part."""
    journal = Journal(path)
    frames = max(1, ROWS // (sites * (sites - 1)))
    sizes = [used(journal)]
    for first in range(0, frames, 10):
        append(journal, first, min(first + 10, frames), sites, noise)
    sizes.append(used(journal))
    journal.close()
    return (sizes[1] - sizes[0]) / (frames * sites * (sites - 1))


def filled(journal: Journal, sites: int, noise: float) -> dict[str, float]:
    """Fill the journal; bytes a row, a line of minutes and a line of hours."""
    links, sizes = sites * (sites - 1), [used(journal)]
    for hour in range(24):
        append(journal, hour * DAY_ROWS // 24, (hour + 1) * DAY_ROWS // 24, sites, noise)
    began = time.process_time()
    for _ in RollUps(journal.database, MINUTE_DAYS).steps(DAY + timedelta(days=40)):
        pass
    rows = links * DAY_ROWS
    print(f"{rows:,} rows of a day rolled up and sorted: {1e6 * (time.process_time() - began) / rows:.1f} µs a row")
    for table, days, at_once in (("latency_minutes", MINUTE_DAYS, 3), ("latency_hours", YEAR_DAYS, 30)):
        sizes.append(used(journal))
        for from_ in range(1, days, at_once):
            earlier = {"from_": from_, "to": min(from_ + at_once, days)}
            execute(journal, _AGAIN.format(table=table), {**earlier, "day": DAY.replace(tzinfo=None)})
        sizes.append(used(journal))
    _, minutes_begin, minutes_end, _, hours_end = sizes
    return {
        "minute": (minutes_end - minutes_begin) / (links * 1440 * (MINUTE_DAYS - 1)),
        "hour": (hours_end - minutes_end) / (links * 24 * (YEAR_DAYS - 1)),
    }


def append(journal: Journal, first: int, last: int, sites: int, noise: float) -> None:
    """Commit the rows of reports from number `first` to before `last`."""
    values = {"first": first, "last": last, "sites": sites, "noise": noise}
    with journal.database.transaction() as connection:
        rows = connection.execute(_ROWS, {**values, "interval": INTERVAL_S, "day": DAY.replace(tzinfo=None)})
        append_rows(connection, "latency", rows.fetchnumpy())


def execute(journal: Journal, sql: str, values: Mapping[str, object]) -> None:
    """Change the journal."""
    with journal.database.transaction() as connection:
        connection.execute(sql, values)


def used(journal: Journal) -> int:
    """The bytes of the file that are in use."""
    journal.database.rows("CHECKPOINT")
    ((bytes_,),) = journal.database.rows("SELECT used_blocks * block_size FROM pragma_database_size()")
    return int(bytes_)


def print_sizes(bytes_: dict[str, float], sites: int, of: int) -> None:
    """Print what a row and a line take, and the year."""
    print(f"{sites} sites: " + ", ".join(f"{value:.1f} bytes a {name}" for name, value in bytes_.items()))
    links = of * (of - 1)
    day_gb = links * DAY_ROWS * bytes_["row"] / 1e9
    minutes_gb = links * 1440 * MINUTE_DAYS * bytes_["minute"] / 1e9
    hours_gb = links * 24 * YEAR_DAYS * bytes_["hour"] / 1e9
    print(f"a year of {of} sites: rows {day_gb:.1f} GB a day, minutes {minutes_gb:.1f} GB, hours {hours_gb:.1f} GB")
    for keep_days in (JournalSettings().keep_days, 3.0, 1.5):
        print(f"  with keep_days = {keep_days:g}: {keep_days * day_gb + minutes_gb + hours_gb:.0f} GB")


def print_histories(journal: Journal, sites: int) -> None:
    """Print how long the history of a link takes, over each span up to the end of the record."""
    reader, now, rng = LinkHistoryReader(journal.database), DAY + timedelta(days=1), random.Random(1)
    for name, days in SPANS.items():
        since = now - timedelta(days=days)
        wanted = span(since, now, default_step_s(days * 86_400), now, JournalSettings())
        took_s = []
        for _ in range(LINKS):
            src, dst = (f"s{site:04d}" for site in rng.sample(range(sites), 2))
            began = time.perf_counter()
            answer = reader.history(src, dst, wanted)
            took_s.append(time.perf_counter() - began)
        times = f"p50, max {1e3 * statistics.median(took_s):.0f}, {1e3 * max(took_s):.0f} ms (n {LINKS})"
        print(
            f"  history of a link over a {name}: {times}, {len(answer.steps)} steps of {wanted.step_s} s, {wanted.name}"
        )


if __name__ == "__main__":
    main()
