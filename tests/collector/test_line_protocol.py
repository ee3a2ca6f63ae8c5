from __future__ import annotations

from typing import Any

import pytest

from collector.columns import TABLES
from collector.line_protocol import lines

TIME_NS = 1_793_534_407_000_000_000


def row(kind: str, **fields: Any) -> tuple[Any, ...]:
    table = TABLES[kind]
    values = {"src": "a", "dst": "b", "method": "stamp", **fields}
    return (TIME_NS, *(values.pop(name, None) for name in (*table.fields, *table.extra)))


def test_a_latency_row_in_its_frozen_form() -> None:
    fields = {"sent": 50, "received": 49, "lost_back": 1, "rtt_p50_s": 0.0123, "owd_forward_p50_s": -1e-06}
    assert list(lines("latency", [row("latency", **fields, timestamp="kernel", during_throughput=False)])) == [
        (
            "latency,src=a,dst=b,method=stamp sent=50i,received=49i,lost_back=1i,rtt_p50_s=0.0123,"
            'owd_forward_p50_s=-1e-06,timestamp="kernel",during_throughput=False 1793534407000000000'
        )
    ]


def test_a_throughput_row_in_its_frozen_form() -> None:
    fields = {"goodput_bps": 94100000.0, "bytes": 35_000_000, "congestion": "cubic", "path_fingerprint": "f1"}
    assert list(lines("throughput", [row("throughput", method="iperf3", **fields)])) == [
        (
            'throughput,src=a,dst=b,method=iperf3 goodput_bps=94100000.0,bytes=35000000i,congestion="cubic",'
            'path_fingerprint="f1" 1793534407000000000'
        )
    ]


def test_a_failure_goes_out_with_its_reason() -> None:
    assert list(lines("throughput", [row("throughput", failure="refused", detail="busy")])) == [
        'throughput,src=a,dst=b,method=stamp failure="refused",detail="busy" 1793534407000000000'
    ]


def test_of_a_paths_hops_the_number_goes_out() -> None:
    hops = '[{"ttl":1,"address":"192.0.2.1"},{"ttl":2}]'
    assert list(lines("path", [row("path", hops=hops, fingerprint="f1", changed=True, path_mtu_bytes=1500)])) == [
        'path,src=a,dst=b,method=stamp hops=2i,fingerprint="f1",changed=True,path_mtu_bytes=1500i 1793534407000000000'
    ]


@pytest.mark.parametrize(
    ("method", "written"),
    [
        ("a b", r"a\ b"),
        ("a,b", r"a\,b"),
        ("a=b", r"a\=b"),
        ("a\\", "a/"),
        ("a\nb", r"a\ b"),
        ("a\rb", r"a\ b"),
        ("ä", "ä"),
    ],
)
def test_a_tag_is_escaped(method: str, written: str) -> None:
    assert list(lines("latency", [row("latency", method=method, sent=1)])) == [
        f"latency,src=a,dst=b,method={written} sent=1i 1793534407000000000"
    ]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('say "no"', r'"say \"no\""'),
        ("back\\", '"back\\\\"'),
        ("two\nlines", '"two lines"'),
        ("100%, x=y", '"100%, x=y"'),
        ("", '""'),
    ],
)
def test_a_text_is_quoted(text: str, written: str) -> None:
    assert list(lines("latency", [row("latency", detail=text)])) == [
        f"latency,src=a,dst=b,method=stamp detail={written} 1793534407000000000"
    ]


def test_a_row_without_a_field_is_no_point() -> None:
    assert list(lines("throughput", [row("throughput"), row("throughput", bytes=1)])) == [
        "throughput,src=a,dst=b,method=stamp bytes=1i 1793534407000000000"
    ]


def test_rows_that_miss_different_fields_each_have_their_own() -> None:
    rows = [row("latency", sent=1), row("latency", received=2), row("latency", sent=3)]
    assert [line.split()[1] for line in lines("latency", rows)] == ["sent=1i", "received=2i", "sent=3i"]
