"""Every relation of every table refuses a row that breaks it and names itself; honest rows pass."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from linkweather.wire import DeviceRow, Hop, LatencyRow, Message, Outage, PathRow, ThroughputRow
from linkweather.wire.capacity import CAPACITY_RELATIONS
from linkweather.wire.latency import LATENCY_RELATIONS
from linkweather.wire.messages import Relations
from linkweather.wire.throughput import THROUGHPUT_RELATIONS

END = {"src": "a", "dst": "b"}
LATENCY: dict[str, Any] = {
    **END,
    "method": "stamp",
    "sent": 50,
    "received": 48,
    "lost_forward": 1,
    "lost_back": 1,
    "reordered": 2,
    "duplicated": 90,
    "late": 70,
    "rtt_min_s": 0.01,
    "rtt_p50_s": 0.02,
    "rtt_mean_s": 0.021,
    "rtt_p95_s": 0.03,
    "rtt_p99_s": 0.04,
    "rtt_max_s": 0.05,
    "rtt_stdev_s": 0.01,
    "jitter_p95_p50_s": 0.01,
}
THROUGHPUT: dict[str, Any] = {
    **END,
    "method": "iperf3",
    "goodput_low_bps": 1e8,
    "goodput_bps": 2e8,
    "goodput_10s_bps": 1.5e8,
    "goodput_high_bps": 3e8,
    "bytes": 75_000_000,
    "duration_s": 3.0,
}
DEVICES: dict[str, Any] = {"type": "a100", "total": 8, "free": 8}

# table, row, and for each relation what breaks it.
TABLES: list[tuple[Relations, type[Message], dict[str, Any], list[dict[str, Any]]]] = [
    (
        LATENCY_RELATIONS,
        LatencyRow,
        LATENCY,
        [
            {"received": 51},
            {"lost_forward": 500},
            {"reordered": 49},
            {"rtt_p99_s": 0.029},
            {"rtt_mean_s": 0.009},
            {"rtt_stdev_s": 0.041},
            {"jitter_p95_p50_s": 0.041},
        ],
    ),
    (
        THROUGHPUT_RELATIONS,
        ThroughputRow,
        THROUGHPUT,
        [{"goodput_bps": 4e8}, {"goodput_10s_bps": 9e7}, {"duration_s": 0.0}],
    ),
    (CAPACITY_RELATIONS, DeviceRow, DEVICES, [{"free": 9}]),
]
BROKEN = [
    pytest.param(model, {**row, **change}, text, id=text)
    for table, model, row, changes in TABLES
    for text, change in zip(table, changes, strict=True)
]


@pytest.mark.parametrize(("model", "row", "relation"), BROKEN)
def test_a_row_that_breaks_a_relation_is_refused_by_its_name(
    model: type[Message], row: dict[str, Any], relation: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        model(**row)
    assert f"Value error, {relation} does not hold: " in str(refused.value)


@pytest.mark.parametrize(("model", "row"), [(LatencyRow, LATENCY), (ThroughputRow, THROUGHPUT), (DeviceRow, DEVICES)])
def test_an_honest_row_passes_with_all_its_fields_and_without_any_one(
    model: type[Message], row: dict[str, Any]
) -> None:
    model(**row)
    required = {name for name, field in model.model_fields.items() if field.is_required()} | {"sent", "received"}
    for name in row.keys() - required:
        model(**{key: value for key, value in row.items() if key != name})


def test_a_chain_is_held_across_a_field_that_is_not_set() -> None:
    relations = Relations("a <= b <= c")
    relations.check({"a": 1, "b": None, "c": 2})
    with pytest.raises(ValueError, match="a <= b <= c does not hold: 3 > 2"):
        relations.check({"a": 3, "b": None, "c": 2})


def test_rounding_to_nanoseconds_refuses_no_honest_row() -> None:
    """p95 - p50 is 0.3e-9 by the exact figures, and 0 by those that were rounded before."""
    LatencyRow(**{**LATENCY, "rtt_min_s": 0.02, "rtt_p50_s": 0.02, "rtt_stdev_s": 0.0, "rtt_mean_s": 0.02 - 1e-9})
    ThroughputRow(**{**THROUGHPUT, "goodput_high_bps": 2e8 * (1 - 5e-10)})
    with pytest.raises(ValidationError):
        ThroughputRow(**{**THROUGHPUT, "goodput_high_bps": 2e8 * (1 - 5e-9)})


def test_an_rtt_of_probes_without_a_reply_is_refused() -> None:
    with pytest.raises(ValidationError, match="an RTT of probes without a reply"):
        LatencyRow(src="a", dst="b", method="stamp", sent=50, received=0, rtt_p50_s=0.01)


NOON = "2026-11-01T12:00:0"


@pytest.mark.parametrize(
    "outages",
    [
        [{"start": f"{NOON}2Z", "end": f"{NOON}1Z", "lost": 5}],
        [{"start": f"{NOON}1Z", "lost": 5}, {"start": f"{NOON}2Z", "end": f"{NOON}3Z", "lost": 5}],
    ],
)
def test_impossible_outages_are_refused(outages: list[dict[str, Any]]) -> None:
    # The second may start before the first: the site's clock was set back between them.
    last = tuple(Outage.model_validate_json(f'{{"start":"{NOON}{n}Z","end":"{NOON}{n}Z","lost":5}}') for n in (2, 1))
    LatencyRow(**LATENCY, outages=last)
    with pytest.raises(ValidationError, match="does not hold"):
        LatencyRow(**LATENCY, outages=tuple(Outage(**_moments(outage)) for outage in outages))


def _moments(outage: dict[str, Any]) -> dict[str, Any]:
    return {name: datetime.fromisoformat(value) if isinstance(value, str) else value for name, value in outage.items()}


def test_hops_out_of_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="each ttl above the one before"):
        PathRow(src="a", dst="b", method="udp", hops=(Hop(ttl=2), Hop(ttl=2)))
