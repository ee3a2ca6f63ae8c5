"""Options that contradict each other, each pair with its sentence; and what goes together."""

from __future__ import annotations

from typing import Any

import pytest

from probes.adhoc.option_rules import contradiction

DEFAULTS: dict[str, Any] = {
    "path": False,
    "latency": False,
    "throughput": False,
    "method": "auto",
    "key_file": None,
    "tcp_port": None,
    "udp": False,
    "rate": None,
    "congestion": None,
    "bidir": False,
    "reverse": True,
    "until_converged": True,
    "path_method": "udp",
    "ipv4": False,
    "ipv6": False,
}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, None),
        ({"latency": True, "count": 3, "method": "tcp", "tcp_port": 80}, None),
        ({"latency": True, "throughput": True, "count": 3, "streams": 2}, None),
        ({"udp": True, "rate": 1e6, "until_converged": False, "reverse": False}, None),
        ({"path": True, "flows": 2, "port": 443, "path_method": "tcp"}, None),
        ({"throughput": True, "until_converged": True}, None),
        ({"flows": 2}, "no path is traced without --path: leave out --flows"),
        ({"throughput": True, "port": 9, "flows": 2}, "--throughput measures no latency: leave out --port, --flows"),
        ({"latency": True, "duration": 2.0}, "--latency measures no throughput: leave out --duration"),
        (
            {"path": True, "udp": True, "key_file": "k"},
            "--path traces the path and measures nothing else: leave out --key-file, --udp",
        ),
        ({"ipv4": True, "ipv6": True}, "-4 and -6 exclude each other: leave one out"),
        ({"bidir": True, "reverse": False}, "--bidir tests both directions: leave out --reverse and --forward"),
        ({"rate": 1e6}, "--rate is that of --udp: give both, or neither"),
        ({"udp": True, "congestion": "bbr"}, "--congestion is TCP's: leave it out with --udp"),
        (
            {"udp": True, "until_converged": True},
            "a test by --udp takes its whole duration: leave out --until-converged",
        ),
        (
            {"reverse": False, "until_converged": True},
            "data to HOST is seen there only, and takes the whole duration: leave out --until-converged",
        ),
        ({"method": "tcp", "key_file": "k"}, "--key-file is that of STAMP: leave it out with --method tcp"),
        (
            {"method": "stamp", "tcp_port": 80},
            "--tcp-port is that of TCP connect time: leave it out with --method stamp",
        ),
        ({"method": "icmp", "port": 80}, "ICMP has no ports: leave out --port with --method icmp"),
        (
            {"path": True, "path_method": "icmp", "port": 80},
            "ICMP has no ports: leave out --port with --path-method icmp",
        ),
    ],
)
def test_a_contradiction_is_one_sentence(given: dict[str, Any], sentence: str | None) -> None:
    assert contradiction({**DEFAULTS, **given}, given) == sentence
