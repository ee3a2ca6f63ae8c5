"""The answers about all links as JSON: rows as the messages say them, and columns of the same."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from collector.api import link_documents
from collector.api.link_documents import link_columns_json, link_rows_json
from collector.linkstate.link_answers import LinkTable, whole_answers
from collector.linkstate.link_states import LinkStates
from collector.settings import StateSettings
from linkweather.mesh import Mesh
from linkweather.models.state import Degradation
from linkweather.wire import LatencyRow, PathRow, ThroughputRow
from tests.collector.report_samples import moment

SITES = [f"s{number:02d}" for number in range(20)]
MESH = Mesh.model_validate({"sites": {site: {"address": f"192.0.2.{place}"} for place, site in enumerate(SITES)}})


def next_test(src: str, dst: str, now: float) -> dict[str, Any]:
    return {"next_test_in_s": 60.0 - now % 60, "next_test_reason": "first"} if (src, dst) == ("s00", "s01") else {}


@pytest.fixture
def table() -> LinkTable:
    """380 links, most of them with a row of each kind, some with figures of the prober's own, one with a next test."""
    chance, links = random.Random(5), LinkStates(MESH, StateSettings())
    for place, (src, dst) in enumerate(MESH.pairs()):
        ends: dict[str, Any] = {"src": src, "dst": dst, "method": "stamp"}
        if place % 7:
            rtt_s, figures = chance.uniform(1e-5, 1.0), {"status": 200.0} if place % 5 == 0 else None
            row = LatencyRow(**ends, sent=50, received=49, rtt_p50_s=rtt_s, figures=figures)
            links.observe(moment(100 + chance.random()), [row])
        if place % 3:
            links.observe(moment(50), [ThroughputRow(**ends, goodput_bps=chance.uniform(1e6, 1e10))])
            links.observe(moment(60), [PathRow(**ends, fingerprint="f", path_mtu_bytes=1500, changed=True)])
    return links.table(110.25).with_next_tests(next_test).with_reasons({"s03": "a clock"}, None)


def test_rows_are_the_messages(table: LinkTable) -> None:
    rows = json.loads(b"".join(link_rows_json(table)))
    assert rows == [answer.model_dump(mode="json") for answer in whole_answers(table)]
    assert [(row["src"], row["dst"]) for row in rows] == list(MESH.pairs())


def test_what_is_no_number_and_no_text_is_the_message_s_as_well(table: LinkTable) -> None:
    cells = {
        "since": datetime(2026, 11, 27, 20, 16, 19, 655248, tzinfo=UTC),
        "degraded_by": (Degradation(kind="loss", since=datetime(2026, 11, 27, 20, tzinfo=UTC), value=0.3),),
        "traffic_relays": ("s02", "s03"),
    }
    columns = {name: np.full(len(table), None, object) for name in cells}
    for name, value in cells.items():
        columns[name][1] = value
    full = table.with_columns(columns)
    rows = json.loads(b"".join(link_rows_json(full)))
    assert rows == [answer.model_dump(mode="json") for answer in whole_answers(full)]
    assert (rows[0]["since"], rows[1]["traffic_relays"]) == (None, ["s02", "s03"])
    assert rows[1]["degraded_by"][0]["kind"] == "loss"


def test_columns_have_what_the_rows_have(table: LinkTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_documents, "_SLICE", 100)
    document = json.loads(b"".join(link_columns_json(table)))
    columns = document["columns"]
    for end in ("src", "dst"):
        columns[end] = [document["sites"][place] for place in columns[end]]
    rows = json.loads(b"".join(link_rows_json(table)))
    assert {name for row in rows for name, value in row.items() if value is not None} == set(columns)
    assert [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)] == [
        {name: row[name] for name in columns} for row in rows
    ]


def test_the_source_s_clock_explains_a_link_before_the_destination_s_and_ours(table: LinkTable) -> None:
    explained = table.with_reasons({"s00": "its clock", "s01": "the other clock"}, "our clock")
    found = {(link.src, link.dst): link.reason for link in whole_answers(explained)}
    assert found["s00", "s01"] == "its clock"
    assert found["s02", "s01"] == "the other clock"
    assert found["s02", "s03"] == "our clock"


def test_right_clocks_explain_nothing(table: LinkTable) -> None:
    assert table.with_reasons({}, None) is table


def test_a_mesh_without_links_is_an_empty_list() -> None:
    alone = Mesh.model_validate({"sites": {"a": {"address": "192.0.2.1"}}})
    empty = LinkStates(alone, StateSettings()).table(1.0)
    assert b"".join(link_rows_json(empty)) == b"[]"
    assert json.loads(b"".join(link_columns_json(empty)))["columns"] == {"src": [], "dst": []}
