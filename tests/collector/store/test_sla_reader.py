"""How available links were over a span, on a real journal: from rows, and from roll-ups when the rows are gone."""

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
from collector.api.history_api import HistorySources, add_sla
from collector.settings import JournalSettings
from collector.store.journal import Journal
from collector.store.link_history import LinkHistoryReader
from collector.store.link_marks import LinkMarksReader
from collector.store.sla_reader import SlaReader, sla_span
from linkweather.cli.root import main
from linkweather.client import Client
from linkweather.mesh import Mesh
from tests.collector.commands.serving import serving
from tests.collector.report_samples import NOON, entry, latency, pruned

KEPT = JournalSettings(keep_days=7)
HOUR = timedelta(hours=1)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Each minute of half an hour one report of a → b, in five of which no probe came back, and one of a → c."""
    found = Journal(tmp_path / "journal.duckdb", keep_days=1)
    reports = []
    for minute in range(30):
        lost = {"received": 0, "rtt_p50_s": None} if minute >= 25 else {"received": 50, "rtt_p50_s": 0.02}
        reports.append(latency(60 * minute, sent=50, **lost))
        reports.append(latency(60 * minute + 1, sent=50, received=45, rtt_p50_s=0.04, peers=("c",)))
    found.commit([entry(report) for report in reports])
    yield found
    found.close()


@pytest.mark.parametrize(("resolution", "later"), [("rows", HOUR), ("minutes", timedelta(days=8))])
def test_the_whole_span_in_one_figure_each(journal: Journal, resolution: str, later: timedelta) -> None:
    if resolution == "minutes":
        assert pruned(journal, NOON + timedelta(days=2)) == 60
    wanted = sla_span(NOON, NOON + HOUR, NOON + later, KEPT)
    found = SlaReader(journal.database).of_link("a", "b", wanted)
    (link,) = found.links
    assert (found.resolution, link.reports, link.sent, link.received) == (resolution, 30, 1500, 1250)
    assert link.available_ratio == pytest.approx(25 / 30)
    assert link.loss_ratio == pytest.approx(1 / 6)
    assert link.measured_ratio == 0.5  # of the second half hour nothing is known
    assert link.rtt_p50_s == pytest.approx(0.02, rel=0.01)
    assert found.together.model_dump() == link.model_dump(exclude={"src", "dst"})
    assert (link.available_s, link.unavailable_s, link.unknown_s) == (1500, 300, 1800)


def test_an_hour_is_an_hour_however_many_reports_came_of_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.duckdb", keep_days=1)
    well = [latency(10 * number, received=50) for number in range(360)]
    lost = [latency(3600 + 60 * number, received=0, rtt_p50_s=None) for number in range(60)]
    journal.commit([entry(report) for report in (*well, *lost)])
    found = SlaReader(journal.database).of_mesh(sla_span(NOON, NOON + timedelta(days=3), NOON, KEPT))
    journal.close()
    (link,) = found.links
    assert (found.resolution, link.reports) == ("hours", 420)
    assert (link.available_s, link.unavailable_s, link.unknown_s) == (3600, 3600, 70 * 3600)
    assert link.available_ratio == 0.5


def test_the_time_of_all_together_is_the_sum_of_the_links(journal: Journal) -> None:
    found = SlaReader(journal.database).of_mesh(sla_span(NOON, NOON + HOUR, NOON + HOUR, KEPT))
    whole = found.together
    assert (whole.available_s, whole.unavailable_s, whole.unknown_s) == (3300, 300, 3600)
    assert whole.measured_ratio == 0.5


def test_a_site_has_all_of_its_links_the_least_available_first(journal: Journal) -> None:
    found = SlaReader(journal.database).of_site("a", sla_span(NOON, NOON + HOUR, NOON + HOUR, KEPT))
    assert [(link.src, link.dst) for link in found.links] == [("a", "b"), ("a", "c")]
    assert found.together.reports == 60
    assert found.together.available_ratio == pytest.approx(55 / 60)
    assert found.together.rtt_p99_s == pytest.approx(0.04, rel=0.01)
    other = SlaReader(journal.database).of_site("c", sla_span(NOON, NOON + HOUR, NOON + HOUR, KEPT))
    assert [(link.src, link.dst) for link in other.links] == [("a", "c")]


def test_a_link_without_reports_has_no_figures(journal: Journal) -> None:
    found = SlaReader(journal.database).of_link("b", "a", sla_span(NOON, NOON + HOUR, NOON + HOUR, KEPT))
    assert (found.links, found.together.reports, found.together.available_ratio) == ((), 0, None)
    assert found.together.measured_ratio is None


def test_a_long_span_is_read_from_hours() -> None:
    assert sla_span(NOON, NOON + timedelta(days=3), NOON + timedelta(days=3), KEPT).name == "hours"
    month = timedelta(days=30)
    assert sla_span(NOON, NOON + month, NOON + month, KEPT, of_link=True).name == "minutes"
    assert sla_span(NOON, NOON + timedelta(days=1), NOON + timedelta(days=1), KEPT).name == "minutes"


@pytest.fixture
def api(journal: Journal) -> Iterator[str]:
    app = FastAPI()
    answer_errors(app)
    sites = {name: {"address": f"192.0.2.{number}"} for number, name in enumerate("abc", 1)}
    reader = SlaReader(journal.database)
    sources = HistorySources(
        now=(NOON + HOUR).timestamp,
        mesh=lambda: Mesh.model_validate({"sites": sites}),
        history=LinkHistoryReader(journal.database).history,
        marks=LinkMarksReader(journal.database).marks,
        link_sla=reader.of_link,
        site_sla=reader.of_site,
        mesh_sla=reader.of_mesh,
        settings=KEPT,
        questions=CostlyQuestions(),
    )
    add_sla(app, sources)
    with serving(app) as url:
        yield url


def test_the_command_prints_a_line_a_link_and_one_for_all(api: str) -> None:
    result = CliRunner().invoke(main, ["sla", "a", "--since", "1h", "--api", api])
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines() if "→" in line or "together" in line]
    assert lines[0][:8] == ["a", "→", "b", "83.333", "5", "min", "50.0", "16.7"]
    assert [line[:4] for line in lines[1:]] == [["a", "→", "c", "100.000"], ["together", "91.666", "5", "min"]]
    assert all(len(line) <= 80 for line in result.output.splitlines())
    one = CliRunner().invoke(main, ["sla", "a", "b", "--since", "1h", "--json", "--api", api])
    assert [link["dst"] for link in json.loads(one.output)["links"]] == ["b"]


def test_what_is_always_available_is_a_hundred_and_nothing_is_rounded_up_to_it(api: str) -> None:
    result = CliRunner().invoke(main, ["sla", "a", "c", "--since", "1h", "--api", api])
    assert "100.000" in result.output
    assert "together" not in result.output


@pytest.mark.parametrize("query", ["src=a", "site=a&src=a", "site=a&dst=b", "site=x", "src=a&dst=b&since=1h&until=2h"])
def test_a_question_that_cannot_be_answered_says_why(api: str, query: str) -> None:
    answer = httpx.get(f"{api}/api/v1/sla?{query}")
    assert answer.status_code == 422
    assert answer.json()["error"]


def test_the_client_asks_for_a_link_and_for_a_site(api: str) -> None:
    with Client(api) as client:
        assert client.sla(src="a", dst="b", since="1h").site is None
        assert client.sla(site="a", since="1h").site == "a"
        assert [link.dst for link in client.sla(since="1h").links] == ["b", "c"]
