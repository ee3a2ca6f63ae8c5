"""The series of each link, line by line. The mesh reports every 5 s: a link is expired after 300 s."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import get_args

import pytest

from collector.api import row_texts
from collector.api.link_series import link_series
from collector.linkstate.link_states import LinkStates
from collector.settings import StateSettings
from linkweather.mesh import Mesh
from linkweather.models.state import LinkCondition
from linkweather.wire import LatencyRow, Row, ThroughputRow
from tests import servers
from tests.collector.report_samples import moment

AB = {"src": "a", "dst": "b"}
MESH = Mesh.model_validate(
    {"sites": {"a": {"address": "192.0.2.1"}, "b": {"address": "192.0.2.2"}}, "links": [AB, {"src": "b", "dst": "a"}]}
)
GOOD = LatencyRow(
    src="a",
    dst="b",
    method="stamp",
    sent=50,
    received=48,
    lost_forward=2,
    lost_back=0,
    rtt_p50_s=0.02,
    rtt_p95_s=0.03,
    rtt_p99_s=0.04,
)
LOST = LatencyRow(src="a", dst="b", method="stamp", sent=50, received=0)
FAST = ThroughputRow(src="a", dst="b", method="iperf3", goodput_bps=8e9)


def rendered(now: float, *rows: tuple[float, Row]) -> str:
    links = LinkStates(MESH, StateSettings())
    for at, row in rows:
        links.observe(moment(at), [row])
    return b"".join(link_series(links.table(now))).decode()


def lines(now: float, *rows: tuple[float, Row], link: str = 'src="a",dst="b"') -> set[str]:
    """The samples of a link at `now`, after these rows, without what all names begin with."""
    return {
        line.removeprefix("linkweather_link_").replace(link, "")
        for line in rendered(now, *rows).splitlines()
        if link in line and 'state="' not in line
    }


def states(now: float, *rows: tuple[float, Row]) -> dict[str, str]:
    found = [
        line for line in rendered(now, *rows).splitlines() if line.startswith('linkweather_link_state{src="a",dst="b"')
    ]
    return {line.split('"')[5]: line.split()[-1] for line in found}


def test_a_measured_link_has_every_figure() -> None:
    assert lines(2.0, (0.0, GOOD), (1.0, FAST)) == {
        'rtt_seconds{,quantile="0.5"} 0.02',
        'rtt_seconds{,quantile="0.95"} 0.03',
        'rtt_seconds{,quantile="0.99"} 0.04',
        "jitter_seconds{} 0.01",
        'loss_ratio{,direction="forward"} 0.04',
        'loss_ratio{,direction="back"} 0',
        "round_trip_loss_ratio{} 0.04",
        "goodput_bytes_per_second{} 1e+09",
        "age_seconds{} 2",
        "goodput_age_seconds{} 1",
    }


def test_what_was_never_measured_has_no_series() -> None:
    assert lines(2.0, (0.0, GOOD), link='src="b",dst="a"') == set()


def test_a_field_that_no_link_has_has_no_series() -> None:
    links = LinkStates(MESH, StateSettings())
    links.observe(moment(0.0), [GOOD])
    table = links.table(2.0)
    columns = {name: values for name, values in table.columns.items() if name != "jitter_s"}
    text = b"".join(link_series(replace(table, columns=columns))).decode()
    assert 'linkweather_link_rtt_seconds{src="a",dst="b",quantile="0.5"} 0.02' in text
    assert "linkweather_link_jitter_seconds{" not in text


def test_a_link_that_is_down_has_its_loss_and_no_rtt() -> None:
    assert lines(10.0, (0.0, GOOD), (5.0, LOST)) == {
        'loss_ratio{,direction="forward"} 0.04',
        'loss_ratio{,direction="back"} 0',
        "round_trip_loss_ratio{} 0.52",
        "age_seconds{} 5",
    }


def test_an_expired_link_has_its_age_alone() -> None:
    assert lines(301.0, (0.0, GOOD)) == {"age_seconds{} 301"}


def test_a_link_is_in_one_state_of_all() -> None:
    names = get_args(LinkCondition)
    assert states(2.0, (0.0, GOOD)) == {**dict.fromkeys(names, "0"), "fresh": "1"}
    assert states(6.0, (0.0, GOOD), (5.0, LOST)) == {**dict.fromkeys(names, "0"), "down": "1"}


def test_many_links_are_rendered_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rendered(1.0, (0.0, GOOD))
    monkeypatch.setattr(row_texts, "_ROWS", 1)
    assert rendered(1.0, (0.0, GOOD)) == whole


def test_promtool_finds_nothing_to_improve() -> None:
    text = rendered(1.0, (0.0, GOOD), (0.5, FAST))
    command = [servers.require("promtool"), "check", "metrics"]
    found = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
