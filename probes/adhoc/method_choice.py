"""The methods of a latency test by hand: in which order they are tried, and what is said about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from linkweather.mesh import STAMP_PORT

MethodName = Literal["stamp", "icmp", "tcp"]

HTTPS_PORT = 443


class Series(NamedTuple):
    """So many probes, one every `interval_s`, each given `timeout_s` at most."""

    probes: int
    interval_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Method:
    """How a method is tried before it is chosen, and what is said about it; `{port}` is the port used."""

    title: str
    default_port: int
    trial: Series
    used: str
    answered: str
    silent: str


METHODS: Mapping[MethodName, Method] = {
    "stamp": Method(
        "STAMP",
        STAMP_PORT,
        Series(probes=3, interval_s=0.05, timeout_s=0.5),
        "STAMP at UDP port {port}",
        "a reflector answers there",
        "no reflector answers at UDP port {port}",
    ),
    "icmp": Method(
        "ICMP echo",
        0,
        Series(probes=3, interval_s=0.1, timeout_s=1.0),
        "ICMP echo",
        "the host answers",
        "no echo reply comes",
    ),
    "tcp": Method(
        "TCP connect time",
        HTTPS_PORT,
        Series(probes=2, interval_s=0.1, timeout_s=1.0),
        "TCP connect time at port {port}",
        "the host answers there",
        "nothing answers at TCP port {port}",
    ),
}
# The most telling method first.
ORDER: tuple[MethodName, ...] = ("stamp", "icmp", "tcp")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One method that was tried at a port, and whether it was answered. `reason` says more about silence."""

    method: MethodName
    port: int
    answered: bool
    reason: str = ""

    @property
    def outcome(self) -> str:
        """What came of it, for people: `no reflector answers at UDP port 8620 (refused)`."""
        method = METHODS[self.method]
        outcome = (method.answered if self.answered else method.silent).format(port=self.port)
        return f"{outcome} ({self.reason})" if self.reason else outcome

    @property
    def used(self) -> str:
        """The method and its port: `STAMP at UDP port 8620`."""
        return METHODS[self.method].used.format(port=self.port)


def choice(used: Attempt, before: Sequence[Attempt]) -> str:
    """Which method is used, and why: `ICMP echo, as no reflector answers at UDP port 8620`."""
    if before:
        return f"{used.used}, as {' and '.join(each.outcome for each in before)}"
    return f"{used.used}: {used.outcome}" if used.answered else used.used


def port(name: MethodName, given: int | None, tcp_port: int | None = None) -> int:
    """The port of a method: `--tcp-port` is TCP's alone, `--port` is that of whichever method is used."""
    if name == "icmp":
        return 0
    chosen = tcp_port if name == "tcp" and tcp_port is not None else given
    return METHODS[name].default_port if chosen is None else chosen
