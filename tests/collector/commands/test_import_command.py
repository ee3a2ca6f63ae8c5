"""`linkweather import` and `export`: into the journal of a stopped collector once, and out again as files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from collector.store.journal import Journal
from linkweather.cli.root import main
from linkweather.mesh import Mesh
from linkweather.settings import load
from tests import servers
from tests.collector import report_samples
from tests.collector.migration import samples
from tests.collector.report_samples import entry

MESH = """
[sites.a]
address = "127.0.0.2"
[sites.b]
address = "127.0.0.3"
"""
# A file as SmokePing makes it, with three pings a step.
SOURCES = ("uptime", "loss", "median", "ping1", "ping2", "ping3")
RRD_STEP_S = 300
RRD_START = 1_700_000_100 // RRD_STEP_S * RRD_STEP_S


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a mesh file, and the journal of a collector that ran once."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mesh.toml").write_text(MESH)
    (tmp_path / "collector-data").mkdir()
    Journal(tmp_path / "collector-data" / "journal.duckdb").close()
    return tmp_path


@contextmanager
def opened() -> Iterator[Journal]:
    journal = Journal(Path("collector-data/journal.duckdb"))
    try:
        yield journal
    finally:
        journal.close()


def run(*arguments: str, status: int = 0) -> list[str]:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == status, result.output
    return result.output.splitlines()


def rows(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as db:
        return db.execute(sql).fetchall()


def write_a_real_test(into: Path) -> None:
    """One real test over the loopback, from 127.0.0.2 to 127.0.0.3, as its client and its server write it."""
    port = str(servers.free_port())
    log = into / "One-server.JSON"
    server = subprocess.Popen(["iperf3", "-s", "-1", "-J", "-B", "127.0.0.3", "-p", port, "--logfile", str(log)])
    try:
        command = ["iperf3", "-c", "127.0.0.3", "-B", "127.0.0.2", "-p", port, "-t", "1", "-b", "20M", "-J"]

        def tested() -> bool:
            done = subprocess.run(command, capture_output=True, check=False, timeout=60)
            (into / "one.json").write_bytes(done.stdout)
            return "error" not in json.loads(done.stdout)  # its exit status is 0 where nothing answers yet

        servers.wait_until(tested, "iperf3 answers", 60.0)
        server.wait(60.0)
    finally:
        server.kill()
        server.wait()


def test_a_folder_of_iperf3_is_imported_once_and_exported(folder: Path) -> None:
    (folder / "results").mkdir()
    write_a_real_test(folder / "results")
    (folder / "results" / "other.json").write_text("[]")
    (folder / "results" / "wide.json").write_text("[]", encoding="utf-16")
    (folder / "results" / "folder.json").mkdir()
    said = run("import", "iperf3", "results")
    assert said[-1] == "1 measurement of 4 sources imported, 0 were there already"
    assert "not carried over: One-server.JSON: is of the same test as one.json" in said
    assert "not carried over: wide.json: is text in UTF-16: write it in UTF-8" in said
    assert [line for line in said if line.startswith("not carried over: other.json: is not as iperf3 -J")] != []
    assert run("import", "iperf3", "results")[-1] == "0 measurements of 4 sources imported, 1 were there already"
    assert run("export", "rows.parquet", "--kind", "throughput") == ["rows.parquet: 1 line"]
    ((src, dst, goodput, reason, moved),) = rows("SELECT src, dst, goodput_bps, reason, bytes FROM 'rows.parquet'")
    assert (src, dst, reason) == ("a", "b", "imported")
    assert goodput > 0
    assert moved > 0


def test_a_folder_without_results_is_named() -> None:
    (said,) = run("import", "iperf3", "collector-data", status=2)
    assert said == "Error: collector-data: has no file whose name ends in .json"


def smokeping_file(path: Path, steps: int) -> None:
    """An RRD by the real rrdtool; each step has one lost ping of three and RTTs of 10 and 20 ms."""
    if not path.exists():
        sources = [f"DS:{name}:GAUGE:600:0:180" for name in SOURCES]
        start = ["--start", str(RRD_START), "--step", str(RRD_STEP_S)]
        _rrdtool("create", str(path), *start, *sources, "RRA:AVERAGE:0.5:1:4", "RRA:AVERAGE:0.5:2:50")
    last = int(_rrdtool("last", str(path)))
    times = [RRD_START + RRD_STEP_S * (number + 1) for number in range(steps)]
    _rrdtool("update", str(path), *(f"{at}:U:1:0.01:0.01:0.02:U" for at in times if at > last))


def _rrdtool(*arguments: str) -> str:
    return subprocess.run(["rrdtool", *arguments], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.skipif(shutil.which("rrdtool") is None, reason="apt install rrdtool")
def test_a_file_of_smokeping_that_grew_adds_what_is_new(folder: Path) -> None:
    smokeping_file(folder / "b.rrd", 6)
    assert run("import", "smokeping", "b.rrd", "--src", "a")[-1].startswith("4 measurements of 1 source imported")
    smokeping_file(folder / "b.rrd", 8)
    grown = run("import", "smokeping", "b.rrd", "--src", "a")[-1]
    assert grown == "2 measurements of 1 source imported, 2 were there already"
    run("export", "rows.csv", "--kind", "latency")
    found = rows("SELECT at_utc, sent, received, rtt_p50_s, method, src, dst FROM 'rows.csv' ORDER BY at_utc")
    start = datetime.fromtimestamp(RRD_START, UTC).replace(tzinfo=None)
    assert [row[0] for row in found] == [start + timedelta(seconds=RRD_STEP_S * step) for step in range(3, 9)]
    assert {row[1:] for row in found} == {(3, 2, 0.01, "smokeping", "a", "b")}
    older = run("import", "smokeping", "b.rrd", "--src", "a", "--older")[-1]
    assert older == "2 measurements of 2 sources imported, 4 were there already"
    with opened() as journal:  # no number is missing, which the ledger would take for a lost report
        assert journal.database.rows("SELECT count(*) FROM received") == [(2,)]


@pytest.mark.skipif(shutil.which("rrdtool") is None, reason="apt install rrdtool")
def test_a_file_that_rrdtool_cannot_read_is_said(folder: Path) -> None:
    (folder / "b.rrd").write_bytes(b"no RRD")
    said = run("import", "smokeping", "b.rrd", "--src", "a", status=1)
    assert said[0].startswith("not carried over: b.rrd: ERROR: ")
    assert said[1] == "nothing imported: no measurement in 1 source can be carried over"


def test_without_rrdtool_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    said = run("import", "smokeping", "b.rrd", "--src", "a", status=2)
    assert said == ["Error: SmokePing's files are read by the program rrdtool: apt install rrdtool"]


def pscheduler_file(folder: Path) -> str:
    (folder / "runs.json").write_text(json.dumps([samples.run("rtt", samples.RTT)]), encoding="utf-8-sig")
    return "runs.json"


def test_runs_of_pscheduler_go_to_the_sites_that_are_named(folder: Path) -> None:
    file = pscheduler_file(folder)
    (unknown,) = run("import", "pscheduler", file, status=2)
    assert unknown.startswith("Error: no site of the mesh: a.example, b.example: say which sites they are")
    said = run("import", "pscheduler", file, "--site", "a.example=a", "--site", "b.example=b")
    assert said == ["1 measurement of 1 source imported, 0 were there already"]
    with opened() as journal:
        assert journal.database.rows("SELECT src, dst, rtt_p50_s FROM latency") == [("a", "b", 0.02)]
    (bad,) = run("import", "pscheduler", file, "--site", "a.example", status=2)
    assert bad == "Error: --site 'a.example': must be NAME=SITE"


def test_a_journal_in_use_and_none_are_refused(folder: Path) -> None:
    sites = ("--site", "a.example=a", "--site", "b.example=b")
    arguments = ("import", "pscheduler", pscheduler_file(folder), *sites)
    held = "import duckdb, sys; db = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", held, "collector-data/journal.duckdb"]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdout is not None
        other.stdout.readline()
        (said,) = run(*arguments, status=2)
        other.communicate()
    assert said == "Error: journal collector-data/journal.duckdb: is in use: stop the collector first"
    (said,) = run(*arguments, "--data-dir", "elsewhere", status=2)
    assert said == "Error: elsewhere/journal.duckdb: there is no journal: name its folder with --data-dir"


def test_a_template_of_psconfig_becomes_a_mesh_file_once(folder: Path) -> None:
    (folder / "psconfig.json").write_bytes(samples.template())
    said = run("import", "psconfig", "psconfig.json", "new.toml", "--site", "thr1=lat1")
    assert said[0] == "not carried over: archives: has no place in a mesh file"
    assert said[-1] == "new.toml: 2 sites, 2 links"
    assert set(load(Path("new.toml"), Mesh).sites) == {"lat1", "lat-2"}
    (again,) = run("import", "psconfig", "psconfig.json", "new.toml", status=2)
    assert again == "Error: new.toml: is there already: name another file"
    (none,) = run("import", "psconfig", "mesh.toml", "other.toml", status=2)
    assert none.startswith("Error: mesh.toml: is not as pSConfig writes it")


def test_a_span_of_rows_and_of_roll_ups_while_the_journal_is_in_use(folder: Path) -> None:
    with opened() as journal:
        journal.commit([entry(report_samples.latency(seq)) for seq in range(1, 121)])
        report_samples.pruned(journal, report_samples.NOON + timedelta(days=400))
        journal.database._connection.execute("CHECKPOINT")
        noon = report_samples.NOON
        span = (
            "--since",
            (noon + timedelta(seconds=10)).isoformat(),
            "--until",
            (noon + timedelta(seconds=20)).isoformat(),
        )
        assert run("export", "rows.csv", "--kind", "latency", *span) == ["rows.csv: 10 lines"]
        assert run("export", "minutes.parquet", "--kind", "latency_minutes") == ["minutes.parquet: 3 lines"]
        assert run("export", "hours", "--kind", "throughput_hours", "--format", "csv") == ["hours: 0 lines"]
    assert [row[0] for row in rows("SELECT rtt_p50_s FROM 'rows.csv'")] == [seq / 1000 for seq in range(10, 20)]
    found = rows("SELECT src, dst, reports, sent, rtt_p50_s FROM 'minutes.parquet' ORDER BY at_utc")
    assert [row[:4] for row in found] == [("a", "b", 59, 2950), ("a", "b", 60, 3000), ("a", "b", 1, 50)]
    assert found[1][4] == pytest.approx(0.0895, rel=0.02)
    assert not list(folder.glob(".*"))


def test_an_export_replaces_no_file_and_asks_for_its_format(folder: Path) -> None:
    (folder / "rows.csv").write_text("mine")
    assert run("export", "rows.csv", "--kind", "path", status=2) == [
        "Error: rows.csv: is there already: name another file"
    ]
    assert (folder / "rows.csv").read_text() == "mine"
    assert run("export", "rows.txt", "--kind", "path", status=2) == [
        "Error: rows.txt: ends neither in .parquet nor in .csv: say --format"
    ]
    assert run("export", "-", "--kind", "path", "--format", "csv", status=2) == [
        "Error: -: name a file: an export gets its name once it is whole, and does not go to stdout"
    ]
    assert run("export", "no/rows.csv", "--kind", "path", status=2) == [
        "Error: no/rows.csv: cannot be written: No such file or directory"
    ]
    assert run("export", "E8.CSV", "--kind", "path") == ["E8.CSV: 0 lines"]


def test_a_span_that_ends_before_it_begins_is_refused(folder: Path) -> None:
    (said,) = run("export", "rows.csv", "--kind", "path", "--since", "1h", "--until", "2h", status=2)
    assert said == "Error: --since 1h is not before --until 2h: nothing is in that span"
    assert not (folder / "rows.csv").exists()
