"""Documents as other programs write them, after their public documentation; of iperf3 as version 3.12 printed it."""

from __future__ import annotations

import json
from typing import Any


def iperf3(*, server: bool = False, **changes: Any) -> dict[str, Any]:
    """A test of 10 s from 192.0.2.1 to 192.0.2.2, as its client says it, or its server."""
    ends = ("192.0.2.2", "192.0.2.1") if server else ("192.0.2.1", "192.0.2.2")
    connected = {"socket": 5, "local_host": ends[0], "local_port": 1, "remote_host": ends[1], "remote_port": 5201}
    start = {
        "connected": [connected],
        "version": "iperf 3.12",
        "timestamp": {"time": "Tue, 14 Nov 2023 22:13:20 GMT", "timesecs": 1700000000},
        "test_start": {"protocol": "TCP", "num_streams": 2, "omit": 0, "duration": 10, "reverse": 0},
    }
    start |= {"accepted_connection": {"host": ends[1], "port": 5201}} if server else {}
    sent = {"start": 0, "end": 10, "seconds": 10.0, "bytes": 125, "bits_per_second": 100.0, "retransmits": 3}
    received = {"start": 0, "end": 10, "seconds": 10.0, "bytes": 120, "bits_per_second": 96.0}
    end = {"sum_sent": sent, "sum_received": received, "sender_tcp_congestion": "cubic"}
    document: dict[str, Any] = {"start": start, "intervals": [], "end": end}
    for where, value in changes.items():
        *path, last = where.split("__")
        inner = document
        for key in path:
            inner = inner[key]
        inner[last] = value
    return document


def run(kind: str, result: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A run of pScheduler from a.example to b.example, as an archiver gets it."""
    return {
        "test": {"type": kind, "spec": {"source": "a.example", "dest": "b.example", **spec}},
        "tool": {"name": "iperf3" if kind == "throughput" else "owping", "version": "1.0"},
        "participants": ["a.example", "b.example"],
        "schedule": {"start": "2023-11-14T22:13:20+00:00", "duration": "PT10S"},
        "result": {"schema": 1, "succeeded": True, **result},
    }


THROUGHPUT = {
    "summary": {
        "streams": [],
        "summary": {"start": 0, "end": 10.0, "throughput-bits": 9e8, "throughput-bytes": 1.1e9, "retransmits": 7},
    },
    "intervals": [],
    "diags": "",
}
RTT = {
    "sent": 4,
    "received": 3,
    "lost": 1,
    "loss": 0.25,
    "min": "PT0.01S",
    "mean": "PT0.02S",
    "max": "PT0.03S",
    "stddev": "PT0.001S",
    "reorders": 0,
    "duplicates": 0,
    "roundtrips": [
        {"seq": 1, "rtt": "PT0.01S"},
        {"seq": 2, "rtt": "PT0.02S"},
        {"seq": 3, "rtt": "PT0.03S"},
        {"seq": 4},
    ],
}
LATENCY = {
    "packets-sent": 10,
    "packets-received": 9,
    "packets-lost": 1,
    "packets-duplicated": 0,
    "packets-reordered": 2,
    "max-clock-error": 0.5,
    "histogram-latency": {"9.50": 2, "10.25": 5, "11.00": 2},
    "histogram-ttl": {"250": 9},
}


def template(**changes: Any) -> bytes:
    """A template of pSConfig with a mesh of latency and one of throughput."""
    names = {"lat1": "192.0.2.1", "Lat.2": "192.0.2.2", "thr1": "192.0.2.1"}
    document = {
        "addresses": {name: {"address": address} for name, address in names.items()},
        "groups": {
            "latency_group": {"type": "mesh", "addresses": [{"name": "lat1"}, {"name": "Lat.2"}]},
            "throughput_group": {"type": "mesh", "addresses": [{"name": "thr1"}, {"name": "Lat.2"}]},
        },
        "tests": {
            "latency_test": {"type": "latencybg", "spec": {"packet-interval": 0.2, "packet-count": 600}},
            "throughput_test": {"type": "throughput", "spec": {"duration": "PT30S"}},
            "dns_test": {"type": "dns", "spec": {}},
        },
        "archives": {"one": {"archiver": "http", "data": {}}},
        "schedules": {"every_4_hours": {"repeat": "PT4H", "slip": "PT4H"}},
        "tasks": {
            "latency_task": {"group": "latency_group", "test": "latency_test", "archives": ["one"]},
            "throughput_task": {"group": "throughput_group", "test": "throughput_test", "schedule": "every_4_hours"},
            "dns_task": {"group": "latency_group", "test": "dns_test"},
        },
    }
    return json.dumps({**document, **changes}).encode()
