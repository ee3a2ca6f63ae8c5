"""`linkweather test --path`: its text and JSON, worked out by hand, and the command on loopback."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime

import pytest

from probes.adhoc.adhoc_path import TracedPath, document, lines, text
from probes.path.traced_route import HopResponder, Step, fingerprint, route
from probes.path.tracer_lines import TraceRequest
from tests.lab.labs import run
from tests.probes.path.samples import END, sample, samples

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
REQUEST = TraceRequest(host="example.net", method="udp", port=33434, flows=2)
PATH = [
    sample(0, 1, "192.0.2.1", 0.0005, (16005, 24001)),
    sample(1, 1, "192.0.2.1", 0.0004),
    *(sample(flow, 2, ".") for flow in (0, 0, 1)),
    sample(0, 3, "192.0.2.5", 0.0105),
    sample(1, 3, "192.0.2.66", 0.0205),
    sample(0, 3, "."),
    sample(0, 4, "E", 0.1234),
]
COMMAND = [sys.executable, "-m", "linkweather", "test", "--path"]


def test_path_as_people_read_it() -> None:
    found = TracedPath(REQUEST, AT, tuple(PATH), END, 1500)
    assert text(found).splitlines() == [
        "Path to example.net (192.0.2.99) by UDP to port 33434, 2 flows",
        "  hop    loss  address          RTT",
        "    1     0 %  192.0.2.1     400 µs  MPLS 16005/24001",
        "    2   100 %  *",
        "    3  33.3 %  192.0.2.5    10.5 ms  1 flow   192.0.2.66   20.5 ms  1 flow",
        "    4     0 %  192.0.2.99    123 ms",
        "",
        "  The host is 4 hops away.",
        f"  path MTU 1500, fingerprint {fingerprint(route(PATH))}",
    ]


def test_parallel_routers_that_do_not_fit_stand_below_each_other() -> None:
    addresses = [f"2001:db8:1234:5678::{number}" for number in (1, 2)]
    step = Step(3, 2, 0, tuple(HopResponder(address, 0.01, (flow,), ()) for flow, address in enumerate(addresses)))
    assert lines([step])[1:] == [
        "    3     0 %  2001:db8:1234:5678::1   10.0 ms  1 flow",
        "               2001:db8:1234:5678::2   10.0 ms  1 flow",
    ]


def test_host_that_does_not_answer_is_said_to() -> None:
    found = TracedPath(
        REQUEST.model_copy(update={"flows": 1}), AT, tuple(samples("a . .")), "example.net", interrupted=True
    )
    assert text(found).splitlines()[0] == "Path to example.net by UDP to port 33434, 1 flow"
    assert text(found).splitlines()[-3:] == [
        "  The host does not answer, and nothing beyond hop 1 does.",
        f"  path MTU not known, fingerprint {fingerprint(route(samples('a')))}",
        "  Interrupted: this is what was known until then.",
    ]


def test_router_at_the_last_hop_means_that_the_path_is_longer_than_the_limit() -> None:
    request = REQUEST.model_copy(update={"flows": 1, "max_hops": 2})
    found = TracedPath(request, AT, tuple(samples("a b")), "example.net")
    assert "  The host is not reached within 2 hops: raise --max-hops." in text(found).splitlines()
    longer = TracedPath(REQUEST.model_copy(update={"flows": 1}), AT, tuple(samples("a b")), "example.net")
    assert "  The host does not answer, and nothing beyond hop 2 does." in text(longer).splitlines()


def test_nobody_at_all_is_one_sentence_and_a_failure() -> None:
    found = TracedPath(REQUEST, AT, tuple(samples(". .")), END)
    assert text(found) == (
        "Path to example.net (192.0.2.99) by UDP to port 33434, 2 flows: "
        "neither the host nor any router on the way answers"
    )
    assert document(found)["failure"] == "no_reply"
    assert document(found)["fingerprint"] is None


def test_json_document_has_every_router_with_its_flows() -> None:
    values = document(TracedPath(REQUEST, AT, tuple(PATH), END, 1500))
    assert json.loads(json.dumps(values))["hops"][2] == {
        "ttl": 3,
        "sent": 3,
        "lost": 1,
        "responders": [
            {"address": "192.0.2.5", "rtt_s": 0.0105, "flows": [0], "labels": []},
            {"address": "192.0.2.66", "rtt_s": 0.0205, "flows": [1], "labels": []},
        ],
    }
    assert (values["reached"], values["port"], values["path_mtu_bytes"], values["failure"]) == (True, 33434, 1500, None)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for raw sockets")
async def test_command_traces_and_prints_json() -> None:
    status, output = await run([*COMMAND, "--path-method", "icmp", "--flows", "1", "--json", "127.0.0.1"])
    values = json.loads(output)
    assert status == 0
    assert (values["method"], values["port"], values["reached"], len(values["hops"])) == ("icmp", None, True, 1)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give up a capability")
async def test_without_privileges_the_command_says_what_is_missing() -> None:
    other = ["setpriv", "--bounding-set=-net_raw", *COMMAND]
    assert await run([*other, "127.0.0.1"]) == (
        1,
        "Error: tracing a path needs root, or the capability CAP_NET_RAW\n",
    )
    status, output = await run([*other, "--json", "127.0.0.1"])
    assert (status, json.loads(output)["failure"]) == (1, "no_privileges")


async def test_path_goes_alone() -> None:
    status, output = await run([*COMMAND, "--latency", "127.0.0.1"])
    assert status == 2
    assert "--path measures nothing else: leave out --latency and --throughput" in output
