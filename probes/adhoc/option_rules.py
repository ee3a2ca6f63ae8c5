"""Which options of `linkweather test` contradict each other: those of one measurement, given with another. Pure.

A room of its own: a new option of the command is named here once, and refused wherever it could have no effect.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

# Parameter → how it is written. Each belongs to one measurement, and does nothing in another.
_LATENCY: Final = {
    "method": "--method",
    "url": "--url",
    "method_options": "--option",
    "count": "--count",
    "interval": "--interval",
    "timeout": "--timeout",
    "tcp_port": "--tcp-port",
    "key_file": "--key-file",
}
_THROUGHPUT: Final = {
    "iperf3_port": "--iperf3-port",
    "duration": "--duration",
    "until_converged": "--until-converged",
    "reverse": "--reverse and --forward",
    "bidir": "--bidir",
    "streams": "--streams",
    "congestion": "--congestion",
    "udp": "--udp",
    "rate": "--rate",
}
_PATH: Final = {"path_method": "--path-method", "flows": "--flows", "max_hops": "--max-hops"}
_PORTS: Final = {"port": "--port"}


def contradiction(values: Mapping[str, Any], given: Collection[str]) -> str | None:
    """What is wrong with the options in one sentence; `given` are those that the user wrote, `values` has all."""
    return _other_measurement(values, given) or next(
        (sentence for wrong, sentence in _pairs(values, given) if wrong), None
    )


def _other_measurement(values: Mapping[str, Any], given: Collection[str]) -> str | None:
    """An option of what is not measured."""
    if values["path"]:
        own, other = "--path traces the path and measures nothing else", {**_LATENCY, **_THROUGHPUT}
    elif values["latency"] and not values["throughput"]:
        own, other = "--latency measures no throughput", {**_THROUGHPUT, **_PATH}
    elif values["throughput"] and not values["latency"]:
        own, other = "--throughput measures no latency", {**_LATENCY, **_PORTS, **_PATH}
    else:
        own, other = "no path is traced without --path", _PATH
    wrong = [name for parameter, name in other.items() if parameter in given]
    return f"{own}: leave out {', '.join(wrong)}" if wrong else None


def _pairs(values: Mapping[str, Any], given: Collection[str]) -> list[tuple[bool, str]]:
    """Each pair of options that exclude each other: whether it was given, and what is said then."""
    method, udp = values["method"], values["udp"]
    rated, timed = values["rate"] is not None, "until_converged" in given and values["until_converged"]
    return [
        (values["ipv4"] and values["ipv6"], "-4 and -6 exclude each other: leave one out"),
        (
            values["bidir"] and "reverse" in given,
            "--bidir tests both directions: leave out --reverse and --forward",
        ),
        (rated and not udp, "--rate is that of --udp: give both, or neither"),
        (values["congestion"] is not None and udp, "--congestion is TCP's: leave it out with --udp"),
        (timed and udp, "a test by --udp takes its whole duration: leave out --until-converged"),
        (
            timed and not values["reverse"],
            "data to HOST is seen there only, and takes the whole duration: leave out --until-converged",
        ),
        (
            values["key_file"] is not None and method in {"icmp", "tcp", "http"},
            f"--key-file is that of STAMP: leave it out with --method {method}",
        ),
        (
            values["tcp_port"] is not None and method in {"stamp", "icmp", "http"},
            f"--tcp-port is that of TCP connect time: leave it out with --method {method}",
        ),
        (
            not values["path"] and method == "icmp" and "port" in given,
            "ICMP has no ports: leave out --port with --method icmp",
        ),
        (
            values["path"] and values["path_method"] == "icmp" and "port" in given,
            "ICMP has no ports: leave out --port with --path-method icmp",
        ),
    ]
