from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from collector.sinks.builtin import ParquetSettings
from collector.store.columns import FIGURES, TABLES
from collector.store.journal import Journal
from linkweather.errors import OperatorError
from linkweather.wire import DeviceRow
from tests.collector.report_samples import capacity, entry, latency, path, throughput
from tests.collector.sinks.exporting import opened, said

DAY_S = 86_400
# Exports what is there, in batches of argv[3] rows, and kills itself at the argv[4]-th sync of a file or folder.
EXPORT = """
import itertools, os, signal, sys
from pathlib import Path
from collector.sinks import parquet_sink
from collector.sinks.builtin import ParquetSettings
from collector.store.journal import Journal
from tests.collector.sinks.exporting import opened

sync, calls = parquet_sink._sync, itertools.count(1)
def dying(path):
    if next(calls) == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    sync(path)
parquet_sink._sync = dying
journal = Journal(Path(sys.argv[1]))
exporter = opened(journal, ParquetSettings(folder=Path(sys.argv[2]), batch_rows=int(sys.argv[3]), linger_s=0), "cellar")
while exporter.step():
    pass
journal.close()
"""


def rows(folder: Path, kind: str, columns: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(
            f"SELECT {columns} FROM read_parquet($files, hive_partitioning = true) ORDER BY number",  # noqa: S608
            {"files": f"{folder}/kind={kind}/*/*.parquet"},
        ).fetchall()


# How a column is compared: zones come out of DuckDB by another package only, figures are written as JSON.
COMPARED = {"TIMESTAMP": 'epoch_us("{0}")', FIGURES: '"{0}"::JSON::VARCHAR'}


def fields(kind: str) -> str:
    """Every column, in a form that the journal and its files have alike."""
    return ", ".join(COMPARED.get(sql, '"{0}"').format(name) for name, sql in TABLES[kind].columns.items())


def assert_equal(folder: Path, journal: Journal) -> None:
    for kind in TABLES:
        recorded = journal.database.rows(f"SELECT {fields(kind)} FROM {kind} ORDER BY number")  # noqa: S608
        assert rows(folder, kind, fields(kind)) == recorded if recorded else not list(folder.glob(f"kind={kind}/*/*"))


def every_kind(journal: Journal, seqs: Sequence[int]) -> None:
    """Rows of every kind over some days."""
    for seq in seqs:
        journal.commit(
            [
                entry(
                    latency(
                        seq * 20_000, peers=("b", "c", "d"), owd_error_s=1e-6, figures={"connect_s": 0.1, "status": 200}
                    )
                ),
                entry(throughput(seq * 20_000 + 1, failure="refused", goodput_bps=None)),
                entry(path(seq * 20_000 + 2, "f")),
                entry(capacity(seq * 20_000 + 3, DeviceRow(type="it's", total=10**9))),
            ]
        )


def test_every_kind_and_day_is_a_folder_and_what_is_read_equals_the_journal(journal: Journal, tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    every_kind(journal, range(10))
    exporter = opened(journal, ParquetSettings(folder=folder, linger_s=0), "cellar")
    while exporter.step():
        pass
    assert_equal(folder, journal)
    assert {day for day, _ in rows(folder, "latency", "day::VARCHAR, number")} == {
        f"2026-11-0{day}" for day in (1, 2, 3)
    }
    assert {one.relative_to(folder).parts[0] for one in folder.glob("*/*/*")} == {f"kind={kind}" for kind in TABLES}
    assert (exporter.exported, exporter.backlog.lag_rows()) == (60, 0)


def test_columns_are_flat_and_times_are_utc_by_the_microsecond(journal: Journal, tmp_path: Path) -> None:
    every_kind(journal, range(1))
    exporter = opened(journal, ParquetSettings(folder=tmp_path, linger_s=0), "cellar")
    exporter.step()
    with duckdb.connect() as connection:
        schema = connection.execute(
            "SELECT name, type, converted_type, num_children, logical_type FROM parquet_schema(?)",
            [f"{tmp_path}/*/*/*.parquet"],
        ).fetchall()
    assert {(stored, converted) for _, stored, converted, children, _ in schema if not children} == {
        ("INT64", "INT_64"),
        ("INT64", "TIMESTAMP_MICROS"),
        ("DOUBLE", None),
        ("BOOLEAN", None),
        ("BYTE_ARRAY", "UTF8"),
    }
    times = [logical for name, *_, logical in schema if name == "at"]
    assert times
    assert all("isAdjustedToUTC=1" in logical and "MICROS=MicroSeconds" in logical for logical in times)


def test_a_folder_that_is_killed_over_and_over_has_every_row_once(tmp_path: Path) -> None:
    file, folder = tmp_path / "journal.duckdb", tmp_path / "files"
    deaths = 0
    # Each run meets more rows, in batches that end elsewhere; the last of them is left alone.
    for turn, (batch_rows, dies_at) in enumerate([(50, 8), (13, 12), (1000, 7), (1000, 9), (5, 30), (20, 10**9)]):
        journal = Journal(file)
        every_kind(journal, range(turn * 10, turn * 10 + 10))
        journal.close()
        command = [sys.executable, "-c", EXPORT, *map(str, (file, folder, batch_rows, dies_at))]
        deaths += subprocess.run(command, check=False).returncode < 0
    assert deaths == 5
    journal = Journal(file)
    assert_equal(folder, journal)
    assert not list(folder.glob("*/*/.*"))
    journal.close()


def test_a_folder_outlives_the_journal_that_filled_it(tmp_path: Path) -> None:
    settings = ParquetSettings(folder=tmp_path / "files", linger_s=0)
    for file in ("one", "two"):
        journal = Journal(tmp_path / file)
        every_kind(journal, range(2))
        exporter = opened(journal, settings, "cellar")
        exporter.step()
        journal.close()
    assert len(rows(settings.folder, "latency", "number")) == 12


def test_a_disk_that_fails_delays_and_is_said(journal: Journal, tmp_path: Path) -> None:
    every_kind(journal, range(1))
    exporter = opened(journal, ParquetSettings(folder=tmp_path / "files", linger_s=0), "cellar")
    (tmp_path / "files" / "kind=latency").write_text("in the way")
    with pytest.raises(Exception, match=r"files cannot be written: .*kind=latency"):
        exporter.step()
    (tmp_path / "files" / "kind=latency").unlink()
    exporter.step()
    assert (said(exporter), exporter.backlog.lag_rows()) == ("", 0)


def test_a_folder_that_cannot_be_made_is_named(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        OperatorError, match=r"^sinks\.influx\.folder = '.*/file/below': cannot be made: (File exists|Not a directory)$"
    ):
        opened(journal, ParquetSettings(folder=tmp_path / "file" / "below"))
