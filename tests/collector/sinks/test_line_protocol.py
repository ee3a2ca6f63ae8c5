from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import duckdb
import pytest

from collector.sinks import line_protocol
from collector.store.columns import TABLES

AT = datetime(2026, 11, 1, 12, 0, 7)  # noqa: DTZ001 - as the journal holds it: UTC without its zone


def row(kind: str, **fields: Any) -> tuple[Any, ...]:
    values = {"boot": "boot-1", "seq": 7, "at": AT, "src": "a", "dst": "b", "method": "stamp", **fields}
    return tuple(values.get(name) for name in TABLES[kind].columns)


def lines(kind: str, rows: list[tuple[Any, ...]], *, integers: bool = True) -> list[str | None]:
    """The rows' lines, of columns as DuckDB gives them."""
    columns = TABLES[kind].columns
    definitions = ", ".join(f'"{name}" {sql}' for name, sql in columns.items())
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE {kind} ({definitions})")
        connection.executemany(f"INSERT INTO {kind} VALUES ({', '.join('?' * len(columns))})", rows)  # noqa: S608
        return line_protocol.lines(kind, connection.execute(f"FROM {kind}").fetchnumpy(), integers=integers)


def test_a_latency_row_in_its_frozen_form() -> None:
    fields = {"sent": 50, "received": 49, "lost_back": 1, "rtt_p50_s": 0.0123, "owd_forward_p50_s": -1e-06}
    assert lines("latency", [row("latency", **fields, timestamp="kernel", during_throughput=False)]) == [
        (
            "latency,src=a,dst=b,method=stamp sent=50i,received=49i,lost_back=1i,rtt_p50_s=0.0123,"
            'owd_forward_p50_s=-1e-6,timestamp="kernel",during_throughput=false 1793534407000000503'
        )
    ]


def test_counts_are_written_as_floats_where_a_bucket_has_them_so() -> None:
    hops = '[{"ttl":1,"address":"192.0.2.1"},{"ttl":2}]'
    assert lines("path", [row("path", hops=hops, path_mtu_bytes=1500)], integers=False) == [
        "path,src=a,dst=b,method=stamp hops=2.0,path_mtu_bytes=1500.0 1793534407000000503"
    ]


def test_a_throughput_row_in_its_frozen_form() -> None:
    fields = {"goodput_bps": 94100000.0, "bytes": 35_000_000, "congestion": "cubic", "path_fingerprint": "f1"}
    assert lines("throughput", [row("throughput", method="iperf3", **fields)]) == [
        (
            'throughput,src=a,dst=b,method=iperf3 goodput_bps=94100000.0,bytes=35000000i,congestion="cubic",'
            'path_fingerprint="f1" 1793534407000000503'
        )
    ]


def test_a_failure_goes_out_with_its_reason() -> None:
    assert lines("throughput", [row("throughput", failure="refused", detail="busy")]) == [
        'throughput,src=a,dst=b,method=stamp failure="refused",detail="busy" 1793534407000000503'
    ]


def test_of_a_paths_hops_the_number_goes_out() -> None:
    hops = '[{"ttl":1,"address":"192.0.2.1"},{"ttl":2}]'
    assert lines("path", [row("path", hops=hops, fingerprint="f1", changed=True, path_mtu_bytes=1500)]) == [
        'path,src=a,dst=b,method=stamp hops=2i,fingerprint="f1",changed=true,path_mtu_bytes=1500i 1793534407000000503'
    ]


def test_of_outages_the_number_goes_out() -> None:
    outages = '[{"start":"2026-11-01T12:00:00Z","end":"2026-11-01T12:00:02Z","lost":20}]'
    assert lines("latency", [row("latency", late=1, late_max_s=0.25, outages=outages)]) == [
        "latency,src=a,dst=b,method=stamp late=1i,late_max_s=0.25,outages=1i 1793534407000000503"
    ]


def test_a_prober_s_figures_are_fields_by_the_names_of_their_history() -> None:
    figures = {"connect_s": 0.012, "status": 200.0}
    assert lines("latency", [row("latency", late=1, figures=figures), row("latency", figures=figures)]) == [
        "latency,src=a,dst=b,method=stamp late=1i,figures.connect_s=0.012,figures.status=200.0 1793534407000000503",
        "latency,src=a,dst=b,method=stamp figures.connect_s=0.012,figures.status=200.0 1793534407000000503",
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
    assert lines("latency", [row("latency", method=method, sent=1)]) == [
        f"latency,src=a,dst=b,method={written} sent=1i 1793534407000000503"
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
    assert lines("latency", [row("latency", detail=text)]) == [
        f"latency,src=a,dst=b,method=stamp detail={written} 1793534407000000503"
    ]


def test_a_row_without_a_field_is_no_point() -> None:
    assert lines("throughput", [row("throughput"), row("throughput", bytes=1)]) == [
        None,
        "throughput,src=a,dst=b,method=stamp bytes=1i 1793534407000000503",
    ]


def test_rows_that_miss_different_fields_each_have_their_own() -> None:
    rows = [row("latency", sent=1), row("latency", received=2), row("latency", sent=3)]
    assert [text.split()[1] for text in lines("latency", rows) if text] == ["sent=1i", "received=2i", "sent=3i"]


def test_a_capacity_row_is_tagged_by_site_and_type() -> None:
    fields = {"site": "a", "type": "a100", "total": 8, "free": 0, "queue_s": 90.0}
    assert lines("capacity", [row("capacity", **fields)]) == [
        "capacity,site=a,type=a100 total=8i,free=0i,queue_s=90.0 1793534407000000503"
    ]


def test_the_digits_below_the_microsecond_follow_from_boot_and_seq() -> None:
    """503 in the frozen lines is this number of boot-1, 7: the last eight bytes of MD5, the least significant first."""

    def digits(boot: str, seq: int) -> int:
        return (
            int.from_bytes(hashlib.md5(f"{boot}:{seq}".encode(), usedforsecurity=False).digest()[8:], "little") % 1000
        )

    reports = [("boot-1", 7), ("boot-1", 8), ("boot-2", 7)]
    found = lines("latency", [row("latency", boot=boot, seq=seq, sent=1) for boot, seq in reports])
    times = [int(text.rsplit(" ", 1)[1]) for text in found if text]
    assert times == [1793534407_000_000_000 + digits(boot, seq) for boot, seq in reports]
    assert len(set(times)) == 3


def test_a_time_that_no_server_can_hold_is_written_for_the_server_to_refuse() -> None:
    (text,) = lines("latency", [row("latency", at=datetime(9999, 12, 31), sent=1)])  # noqa: DTZ001 - as the journal holds it
    assert text is not None
    assert text.endswith(" 253402214400000000503")
