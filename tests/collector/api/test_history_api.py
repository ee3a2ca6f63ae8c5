"""The history of a link over the API and by the command, on a real journal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from fastapi import FastAPI

from collector.api.api_requests import answer_errors
from collector.api.costly_questions import CostlyQuestions
from collector.api.history_api import HistorySources, add_link_history, add_link_marks, add_sla
from collector.settings import JournalSettings
from collector.store.journal import Journal
from collector.store.link_history import LinkHistoryReader
from collector.store.link_marks import LinkMarksReader
from collector.store.sla_reader import SlaReader
from linkweather.cli.root import main
from linkweather.client import Client
from linkweather.mesh import Mesh
from tests.collector.commands.serving import serving
from tests.collector.report_samples import NOON, entry, latency, pruned, throughput

LATER = NOON + timedelta(days=2)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[str]:
    """Ten minutes and a throughput test, rolled up; the rows are gone."""
    journal = Journal(tmp_path / "journal.duckdb", keep_days=1)
    reports = [latency(10 * number, rtt_p50_s=0.02, rtt_min_s=0.019, rtt_max_s=0.1) for number in range(60)]
    journal.commit([entry(report) for report in reports] + [entry(throughput(1000))])
    assert pruned(journal, LATER) == 61
    app = FastAPI()
    answer_errors(app)
    sources = HistorySources(
        now=LATER.timestamp,
        mesh=lambda: Mesh.model_validate({"sites": {site: {"address": f"192.0.2.{n}"} for n, site in enumerate("ab")}}),
        history=LinkHistoryReader(journal.database).history,
        marks=LinkMarksReader(journal.database).marks,
        link_sla=SlaReader(journal.database).of_link,
        site_sla=SlaReader(journal.database).of_site,
        mesh_sla=SlaReader(journal.database).of_mesh,
        settings=JournalSettings(keep_days=1),
        questions=CostlyQuestions(journal.database.time_limit),
    )
    add_link_history(app, sources)
    add_link_marks(app, sources)
    add_sla(app, sources)
    with serving(app) as url:
        yield url
    journal.close()


def test_a_span_is_answered_from_what_is_kept_by_whole_steps(api: str) -> None:
    with Client(api) as client:
        answer = client.link_history("a", "b", since="2026-11-01T12:00:30Z", until="47h", step="5m")
    assert (answer.resolution, answer.step_s, len(answer.steps)) == ("minutes", 300, 3)
    first, second, third = answer.steps
    assert (first.at, second.at) == (NOON, NOON + timedelta(minutes=5))
    assert (first.reports, first.sent, first.received) == (30, 1500, 1470)
    assert first.loss_ratio == pytest.approx(0.02)
    assert (first.rtt_min_s, first.rtt_max_s) == (0.019, 0.1)
    assert first.rtt_p50_s == pytest.approx(0.02, rel=0.01)
    assert (third.reports, third.available_ratio, third.rtt_p50_s) == (0, None, None)
    assert (third.tests, third.goodput_mean_bps) == (1, 1e7)


def test_marks_of_a_link_are_asked_for_by_the_client(api: str) -> None:
    with Client(api) as client:
        answer = client.link_marks("a", "b", since="3d")
    assert (answer.src, answer.dst, answer.paths, answer.tests) == ("a", "b", (), ())  # the rows are gone


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("src=a&dst=c", 404, "dst = 'c'"),
        ("src=a&dst=b&since=1h&until=2h", 422, "must be before until"),
        ("src=a&dst=b&since=80d&step=61s", 422, "at most 10000, so at least 691s"),
        ("src=a&dst=b&since=soon", 422, "since = "),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(api: str, query: str, status: int, sentence: str) -> None:
    answer = httpx.get(f"{api}/api/v1/history?{query}")
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_the_command_prints_a_line_a_step_and_where_it_is_from(api: str) -> None:
    result = CliRunner().invoke(main, ["history", "a", "b", "--since", "30d", "--api", api])
    assert result.exit_code == 0, result.output
    (line,) = (line for line in result.output.splitlines() if line.strip().startswith("2026-"))
    assert line.split() == ["2026-11-01", "12:00:00", *["20.1", "20.1", "19.0", "100", "2.0", "100.0", "10.0"]]
    assert result.output.splitlines()[-1] == "a → b, 1 step of 43200 s, from roll-ups by hours"
    plain = CliRunner().invoke(main, ["history", "a", "b", "--since", "30d", "--json", "--api", api])
    assert json.loads(plain.output)["steps"][0]["reports"] == 60
