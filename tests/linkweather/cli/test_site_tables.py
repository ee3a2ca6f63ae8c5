"""Sites as people read them in a terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from linkweather.cli.site_tables import (
    MOST_SITES,
    agenda_table,
    failures,
    site_lines,
    site_notes,
    sites_cost_table,
    sites_table,
)
from linkweather.mesh.mesh_costs import SiteCost
from linkweather.models.state import LinkAnswer, SiteAnswer

SINCE = datetime(2026, 1, 31, 12, tzinfo=UTC)


def _site(name: str = "gz", state: Any = "online", **fields: Any) -> SiteAnswer:
    return SiteAnswer(site=name, state=state, address="192.0.2.1", **fields)


def _printed(table: Table) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]
    assert max(map(len, lines)) <= 80
    return lines[2:]


def test_sites_are_a_line_each_those_that_are_offline_first() -> None:
    links = [LinkAnswer(src="gz", dst="cc", state="fresh"), LinkAnswer(src="cc", dst="gz", state="down")]
    full = _site(report_age_s=3.0, clock_offset_s=0.2, outbox_reports=7, budget_left_bytes=1_500_000_000)
    lines = _printed(sites_table([full, _site("zz", "offline", clock_offset_s=-90.0)], links))
    assert lines[0].split() == ["zz", "offline", "–", "-90", "s", "–", "–", "0", "0"]
    assert lines[1].split() == ["gz", "online", "3", "s", "ok", "7", "1.50", "GB", "2", "1"]


def test_what_is_wrong_with_sites_is_a_line_each() -> None:
    wrong = _site(reason="it was stopped", throughput_problem="iperf3 is not installed")
    assert site_notes([wrong, _site("cc")]) == ["gz: it was stopped", "gz: iperf3 is not installed"]


def test_all_about_a_site_leaves_out_what_it_has_nothing_of() -> None:
    assert list(site_lines(_site())) == ["state:      online", "where:      192.0.2.1"]
    site = _site(
        "gz",
        "offline",
        since=SINCE,
        reason="it was stopped",
        operator="X",
        clock_offset_s=120.0,
        outbox_reports=3,
        dropped_reports=0,
        refused_reports=2,
        throughput_tests={"scheduled": 4, "loss": 1},
        budget_bytes_per_day=50_000_000_000,
        budget_left_bytes=12_000_000_000,
    )
    assert [line.partition(":")[::2] for line in site_lines(site)] == [
        ("state", "      offline since 2026-01-31 12:00:00 UTC: it was stopped"),
        ("where", "      192.0.2.1, X"),
        ("clock", "      +120 s"),
        ("reports", "    refused 2, waiting 3"),
        ("tests ran", "  loss 1, scheduled 4"),
        ("budget", "     12.0 GB left now of 50.0 GB a day"),
    ]


def test_the_agenda_has_the_soonest_test_first_and_why_the_last_one_failed() -> None:
    links = [
        LinkAnswer(src="a", dst="gz", next_test_waits_for="disabled"),
        LinkAnswer(src="b", dst="gz", next_test_in_s=75.0, next_test_reason="scheduled", next_test_waits_for="budget"),
        LinkAnswer(
            src="c", dst="gz", next_test_in_s=5.0, goodput_failure="refused", goodput_failure_detail="port 5201"
        ),
        LinkAnswer(src="d", dst="gz", next_test_in_s=6.0, goodput_failure="timeout"),
    ]
    assert [line.split() for line in _printed(agenda_table(links))] == [
        ["c", "5", "s", "–", "–", "refused:", "port", "5201"],
        ["d", "6", "s", "–", "–", "timeout"],
        ["b", "75", "s", "scheduled", "budget"],
        ["a", "–", "–", "disabled"],
    ]


def test_what_fails_on_its_links_the_worst_first() -> None:
    links = [
        LinkAnswer(src="gz", dst="a", state="fresh"),
        LinkAnswer(src="gz", dst="b", state="fresh", failure="permission", failure_kind="path"),
        LinkAnswer(src="gz", dst="c", state="down", reason="no reply", failure="no_reply", failure_kind="latency"),
    ]
    assert list(failures(links)) == ["gz → c is down: no reply", "gz → b is fresh: path test failed: permission"]


def test_long_names_and_the_last_line_of_what_a_mesh_costs_cut_no_figure() -> None:
    long = "a-site-with-the-longest-of-names"
    sites = [SiteCost(f"s{number:05d}", 50_000_000_000, 1e9, 1e12, 1e11, 1.27e12) for number in range(MOST_SITES)]
    lines = _printed(sites_cost_table([SiteCost(long, None, 1e9, 2e12, 1e11, 1.27e12), *sites]))
    assert sum(line.endswith(" 1.27 TB") for line in lines) == MOST_SITES
