"""What earlier releases left on disk goes on under this one: journal, outboxes, stores of a site, mesh, settings.

tests/packaging/release_files.py makes the files, once a release.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from collector.settings import CollectorSettings
from collector.store import journal_files
from collector.store.journal import JOURNAL_FILE, Journal
from collector.store.journal_format import SCHEMA_VERSION
from linkweather import settings
from linkweather.cli.root import main
from linkweather.errors import BadValueError
from linkweather.mesh import Mesh
from linkweather.models.ledger import LedgerAnswer
from linkweather.models.placements import Job
from probes.settings import ProbeSettings
from tests import servers
from tests.collector.report_samples import entry, latency
from tests.documents import blocks
from tests.packaging.release_files import RELEASES, ROOT, SITE

READERS: Mapping[str, type[BaseModel]] = {
    "collector": CollectorSettings,
    "probe": ProbeSettings,
    "mesh": Mesh,
    "mesh-hubs": Mesh,
    "job": Job,
}
# What is refused of a release, by its example files: docs/upgrading.md has the sentence, and what to do.
REFUSED = {
    "0.1.0": {
        "probe": "probe.toml: broker = 'mqtt://north:***@broker.example.net': must be without a password, "
        "which belongs in a file, password_file"
    }
}
PROGRAM = (sys.executable, "-P", "-m", "linkweather")


@pytest.fixture(params=sorted(path.name for path in RELEASES.iterdir()))
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with the files of one release, of its name; facts.json says what must be in them."""
    folder: Path = tmp_path / request.param
    with tarfile.open(RELEASES / request.param / "files.tar.xz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # which Debian 12's Python lacks
        archive.extractall(folder)  # noqa: S202 - our own files
    shutil.copy(RELEASES / request.param / "facts.json", folder)
    return folder


def facts(release: Path) -> Any:
    return json.loads((release / "facts.json").read_text(encoding="utf-8"))


def test_settings_of_a_release_are_taken_but_those_of_which_the_document_says_what_to_do(release: Path) -> None:
    files = sorted((release / "config").glob("*.toml"))
    assert {file.stem for file in files} == set(READERS)
    refused = {}
    for file in files:
        try:
            settings.parse(file.read_text(encoding="utf-8"), READERS[file.stem], file.name)
        except BadValueError as error:
            refused[file.stem] = str(error)
    assert refused == REFUSED.get(release.name, {})
    document = (ROOT / "docs" / "upgrading.md").read_text(encoding="utf-8")
    assert all(sentence.rpartition(": ")[2] in document for sentence in refused.values())


def test_a_journal_of_a_release_has_all_its_rows_and_takes_more(release: Path) -> None:
    path = release / "collector" / JOURNAL_FILE
    before = facts(release)
    journal = Journal(path)
    try:
        new = entry(latency(1))
        assert journal.commit([new]) == [new]
    finally:
        journal.close()
    found = journal_files.check(path)
    names = ["latency", "throughput", "path", "capacity", "decisions", "incidents"]
    names += ["latency_minutes", "latency_hours", "throughput_minutes", "throughput_hours"]
    rows = {name: before["rows"][name] for name in names}
    rows["latency"] += 1
    assert (found.problems, found.reports) == ((), before["reports"] + 1)
    assert {name: found.rows[name] for name in rows} == rows


def test_files_of_today_s_format_are_kept_so_that_the_next_format_is_tried_with_them(tmp_path: Path) -> None:
    formats = {}
    for kept in RELEASES.iterdir():
        with tarfile.open(kept / "files.tar.xz") as archive:
            (tmp_path / kept.name).write_bytes(read(archive, f"./collector/{JOURNAL_FILE}"))
        with duckdb.connect(tmp_path / kept.name, read_only=True) as journal:
            (formats[kept.name],) = journal.execute("SELECT version FROM journal_format").fetchone() or (0,)
    assert max(formats.values()) == SCHEMA_VERSION, f"{formats}: run release_files.py, as CONTRIBUTING.md says"


def read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def run_of_document(word: str, release: Path, port: int) -> int:
    """Run the commands of docs/keeping.md in the blocks with that word; how many they were."""
    lines = [line for block in blocks("sh", word) for line in block.text.splitlines()]
    for line in lines:
        _, *arguments = shlex.split(line, comments=True)
        places = {"/var/lib/linkweather/collector": str(release / "collector"), "/var/backups": str(release)}
        for place, ours in places.items():
            arguments = [argument.replace(place, ours) for argument in arguments]
        done = CliRunner().invoke(main, arguments, env={"LINKWEATHER_API": f"http://127.0.0.1:{port}"})
        # These say 1 where something is wrong: sites are away.
        assert done.exit_code in ({0, 1} if arguments[0] in {"doctor", "incidents"} else {0}), (line, done.output)
        assert done.output, line
    return len(lines)


@pytest.mark.timeout(300)
def test_a_collector_and_a_probe_go_on_where_a_release_stopped(release: Path, broker_port: int) -> None:
    broker, port, data = f"mqtt://127.0.0.1:{broker_port}", servers.free_port(), release / "sites" / SITE
    mesh = shutil.copy(release / "mesh.toml", release / "collector")
    collector = [*PROGRAM, "collector", "--config", str(release / "collector.toml"), "--broker", broker]
    collector += ["--mesh", str(mesh), "--data-dir", str(release / "collector"), "--port", str(port)]
    probe = [*PROGRAM, "probe", "--site", SITE, "--broker", broker, "--data-dir", str(data)]
    boot, waiting = facts(release)["boot"], facts(release)["waiting"]

    def ledger() -> LedgerAnswer:
        return LedgerAnswer.model_validate_json(httpx.get(f"http://127.0.0.1:{port}/api/v1/ledger", timeout=30).content)

    def has_what_waited() -> bool:
        lines = [line for line in ledger().outboxes if (line.site, line.boot) == (SITE, boot)]
        return [line.committed >= len(waiting) for line in lines] == [True]  # the probe goes on in the same outbox

    with servers.running(*collector, log=release / "collector.log"):
        servers.wait_until(lambda: servers.responds(f"http://127.0.0.1:{port}/readyz"), "the collector is ready")
        with servers.running(*probe, log=release / "probe.log"):
            servers.wait_until(has_what_waited, "what waited in the outbox is committed")
        servers.wait_until(lambda: ledger().balanced, "every report is accounted for")
        assert [line for line in ledger().outboxes if line.gaps or line.damaged or line.refused] == []
        assert run_of_document("running", release, port) == 8
    assert run_of_document("stopped", release, port) == 1
    assert sorted(release.rglob("*.damaged-*")) == []
    assert journal_files.check(release / "collector" / JOURNAL_FILE).problems == ()
