"""The sink `parquet`: a folder of files, partitioned by kind and day, each written whole or not at all.

    kind=latency/day=2026-11-27/1f0c9a3e-000000000001.parquet

A file is named by the stream and first row of its batch. It is written under another name, synced, and renamed; so a
batch that a crash cuts off is written again under the same names, and replaces what was there. Columns are flat: a
field each, times in UTC by the microsecond, lists and a prober's own figures as JSON text.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import duckdb

from collector.sinks.builtin import ParquetSettings
from collector.store.columns import FIGURES, TABLES
from linkweather.errors import OperatorError
from linkweather.sink import RowBatch, SinkAwayError


class ParquetSink:
    """Writes batches as files. Raises OperatorError at construction for a folder that cannot be made."""

    def __init__(self, settings: ParquetSettings, name: str) -> None:
        self._folder = settings.folder
        self._swept: set[str] = set()
        try:
            _make(self._folder)
        except OSError as error:
            raise OperatorError(f"sinks.{name}.folder = '{self._folder}': cannot be made: {error.strerror}") from None

    def write(self, batch: RowBatch) -> tuple[()]:
        """Write a file for each day that the batch has rows of. Raises SinkAwayError when the disk fails."""
        try:
            self._sweep(batch)
            days = batch.sql(f'SELECT DISTINCT "at"::DATE FROM {batch.source}')  # noqa: S608 - our own names
            for (day,) in days:
                self._write_day(batch, day)
        except (OSError, duckdb.IOException) as error:
            raise SinkAwayError(f"{self._folder} cannot be written: {str(error).splitlines()[0]}") from None
        return ()

    def close(self) -> None:
        """Nothing is held open."""

    def _write_day(self, batch: RowBatch, day: date) -> None:
        folder = self._folder / f"kind={batch.kind}" / f"day={day.isoformat()}"
        _make(folder)
        path = folder / f"{batch.stream}-{batch.first:012d}.parquet"
        unfinished = path.with_name(f".{path.name}.tmp")
        target = str(unfinished).replace("'", "''")
        batch.sql(
            f"COPY (SELECT {_columns(batch.kind)} FROM {batch.source} "  # noqa: S608 - our own names
            f"""WHERE "at"::DATE = '{day.isoformat()}' ORDER BY number) TO '{target}' (FORMAT parquet, CODEC zstd)"""
        )
        _sync(unfinished)
        unfinished.rename(path)
        _sync(folder)

    def _sweep(self, batch: RowBatch) -> None:
        """Once for each kind, remove what was written after the cursor: a batch cut off that may now end elsewhere."""
        if batch.kind in self._swept:
            return
        for path in (self._folder / f"kind={batch.kind}").glob(f"day=*/*{batch.stream}-*"):
            _, _, number = path.name.partition(f"{batch.stream}-")
            if path.name.startswith(".") or int(number.removesuffix(".parquet")) >= batch.first:
                path.unlink()
        self._swept.add(batch.kind)


# SQL type → how a column is written. Parquet knows times with a zone, which every reader takes alike, and without one,
# which Spark takes for local. Of a map every reader makes something else.
_WRITTEN: Mapping[str, str] = {"TIMESTAMP": """"{0}" AT TIME ZONE 'UTC'""", FIGURES: 'to_json("{0}")::VARCHAR'}


def _columns(kind: str) -> str:
    columns = TABLES[kind].columns.items()
    return ", ".join(_WRITTEN.get(sql, '"{0}"').format(name) + f' AS "{name}"' for name, sql in columns)


def _make(folder: Path) -> None:
    """Make a folder, and those above it, so that a power cut leaves them."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
