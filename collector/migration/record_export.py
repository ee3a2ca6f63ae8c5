"""A span of the record as a file, Parquet or CSV: rows of a kind, or its roll-ups added up.

Read from a copy of the journal as of one moment, which lies beside the file that is written: the collector runs on.
Columns have their units in their names; times are UTC and are called so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb

from collector.store import journal_files, roll_up_tables
from collector.store.columns import MEASURED_AT, TABLES, naive
from collector.store.journal_repair import quoted
from collector.store.roll_up_tables import FIGURES, RESOLUTIONS, SKETCH
from linkweather.errors import OperatorError
from linkweather.wire.fields import FIRST_MOMENT

_QUANTILES: Final = {"rtt_p05_s": 0.05, "rtt_p50_s": 0.5, "rtt_p95_s": 0.95, "rtt_p99_s": 0.99}
_ROLLED: Final = {each.table(kind): (kind, each) for kind in FIGURES for each in RESOLUTIONS}
KINDS: Final = (*TABLES, *_ROLLED)
_LIMITS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": 1,
    "memory_limit": "512MB",
}  # beside a collector; what is more goes to the disk
FORMATS: Final[Mapping[str, str]] = {"parquet": "FORMAT parquet, CODEC zstd", "csv": "FORMAT csv, HEADER"}


def export(journal: Path, to: Path, *, kind: str, form: str, since: datetime | None, until: datetime) -> int:
    """Write what was measured in `[since, until)`, oldest first; how many lines. Raises OperatorError."""
    if to.exists():
        raise OperatorError(f"{to}: is there already: name another file")
    span = {"since": naive(since or FIRST_MOMENT), "until": naive(until)}
    journal_files.check_there(journal)
    with journal_files.scratch_folder(to, "cannot be written") as folder:
        copy, written = journal_files.copy_whole(journal, folder), folder / "rows"
        with duckdb.connect(str(copy), config=_LIMITS | {"temp_directory": str(folder)}) as db:
            db.execute("CREATE TEMP TABLE span AS SELECT $since::TIMESTAMP AS since, $until::TIMESTAMP AS until", span)
            ((lines,),) = db.execute(f"COPY ({_query(kind)}) TO '{quoted(written)}' ({FORMATS[form]})").fetchall()
        written.rename(to)
    return int(lines)


def _query(kind: str) -> str:
    within = ">= (SELECT since FROM span) AND {0} < (SELECT until FROM span)"
    if kind in TABLES:
        columns = ", ".join(_named(TABLES[kind].columns))
        chosen = f"{MEASURED_AT} {within.format(MEASURED_AT)}"
        return f"SELECT {columns} FROM {kind} WHERE {chosen} ORDER BY number"  # noqa: S608 - names of our own
    of, _ = _ROLLED[kind]
    more = roll_up_tables.quantiles('src, dst, "at"', _QUANTILES) if SKETCH in FIGURES[of] else ""
    parts = f"""SELECT * FROM {kind} WHERE "at" {within.format('"at"')}"""  # noqa: S608
    added = roll_up_tables.added_up(of, parts, 'src, dst, "at"', more)
    return f'SELECT "at" AS at_utc, * EXCLUDE ("at") FROM ({added}) ORDER BY ALL'  # noqa: S608


def _named(columns: Mapping[str, str]) -> Iterator[str]:
    for name, sql in columns.items():
        yield f'"{name}" AS {name}_utc' if sql == "TIMESTAMP" else f'"{name}"'
