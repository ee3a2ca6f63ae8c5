"""The demo's displays: pages of a long mesh, the head, the JSON document."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

from linkweather.cli.terminal import Terminal
from linkweather.demo.display import DemoScene, LiveDemo, PlainDemo, final_json, final_table
from linkweather.models.ledger import LedgerAnswer, ReportCounts
from linkweather.models.routes import PathExpectation, RouteAnswer
from linkweather.models.state import LinkAnswer, SiteAnswer

SCENE = DemoScene("hubs", 3, 6, "loopback", "not root", "http://127.0.0.1:8484", "demo-data")
RELAYED = RouteAnswer(
    src="a",
    dst="b",
    objective="latency",
    at=datetime(2026, 1, 31, 12, tzinfo=UTC),
    path=PathExpectation(sites=("a", "c", "b")),
    why="a – b goes through c: it is shorter.",
)
LEDGER = LedgerAnswer(at=RELAYED.at, total=ReportCounts(), balanced=True, why="0 reports written; it balances")
LINKS = [LinkAnswer(src=src, dst=dst) for src in "cab" for dst in "abc" if src != dst]


def test_the_head_says_when_nothing_is_emulated_and_why() -> None:
    assert SCENE.lines() == [
        "Look at it: http://127.0.0.1:8484; the API is described at http://127.0.0.1:8484/docs; logs in demo-data/logs",
        "linkweather demo: hubs, 3 sites, 6 links; on loopback: delays are not emulated (not root)",
    ]


def test_a_terminal_sees_the_table_and_what_is_amiss() -> None:
    output = io.StringIO()
    display = LiveDemo(Terminal(file=output, force_terminal=True, width=80, height=30))
    display.begin(SCENE)
    display.show([LINKS[0].model_copy(update={"goodput_bps": 95.2e6, "state": "fresh"}), *LINKS[1:]], [RELAYED])
    display.announce("Staged: a – b is cut.")
    display.note("the collector is away")
    display.end()
    text = output.getvalue()
    assert "Staged: a – b is cut." in text
    assert "95.2" in text
    assert "1 of 6 links have a goodput; Ctrl-C ends" in text
    assert "a – b goes through c: it is shorter." in text
    assert "the collector is away" in text


def test_a_pipe_gets_the_head_what_is_amiss_and_the_table_without_escape_codes() -> None:
    output = io.StringIO()
    console = Terminal(file=output)
    display = PlainDemo(console)
    display.begin(SCENE)
    display.show(LINKS, [RELAYED])
    display.announce("Staged: a – b is cut.")
    display.note("the collector is away")
    display.end()
    final_table(console, LINKS, [RELAYED], LEDGER)
    text = output.getvalue()
    head = [*SCENE.lines(), RELAYED.why, "Staged: a – b is cut.", "the collector is away"]
    assert text.splitlines()[:5] == head
    assert text.splitlines()[-2:] == [RELAYED.why, LEDGER.why]
    assert text.count(" → ") == 6
    assert "\x1b" not in text


def test_the_document_has_the_scene_the_mesh_and_the_sites() -> None:
    document = json.loads(final_json(SCENE, LINKS[:1], [SiteAnswer(site="a", address="10.0.0.1")], [RELAYED], LEDGER))
    assert (document["engine"], document["api"], document["sites"]) == ("loopback", "http://127.0.0.1:8484", 3)
    assert document["mesh"][0]["goodput_bps"] is None
    assert document["sites_seen"][0]["site"] == "a"
    assert document["relayed"][0]["path"]["sites"] == ["a", "c", "b"]
    assert document["ledger"]["why"] == LEDGER.why


def test_a_log_says_each_decision_once_and_when_it_ends() -> None:
    output = io.StringIO()
    display = PlainDemo(Terminal(file=output))
    for relayed in ([RELAYED], [RELAYED], [], [RELAYED]):
        display.show(LINKS, relayed)
    assert output.getvalue().splitlines() == [
        RELAYED.why,
        "a → b: no longer through a relay for latency.",
        RELAYED.why,
    ]


def test_more_decisions_than_fit_take_turns() -> None:
    output = io.StringIO()
    display = LiveDemo(Terminal(file=output, force_terminal=True, width=80, height=40))
    display.begin(SCENE)
    display.show(LINKS, [RELAYED] * 5)
    display.end()
    assert "5 paths through a relay, in turn" in output.getvalue()
