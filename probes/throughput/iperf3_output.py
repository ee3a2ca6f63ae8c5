"""What the iperf3 program prints, line by line: rates, summaries, errors, its version.

The text of `-f k` carries rates to 1 kbit/s and times to 10 ms; byte counts are derived from both.
Other lines are skipped: a failed test shows in what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

End = Literal["sender", "receiver"]
Version = tuple[int, ...]

_NUMBER = r"(\d{1,12}(?:\.\d{1,6})?)"
_RATE = re.compile(
    rf"\[ *(?P<stream>\d+|SUM)\] +(?P<start>{_NUMBER})-(?P<end>{_NUMBER}) +sec +{_NUMBER} [KMGT]?Bytes +"
    rf"(?P<rate>{_NUMBER}) (?P<prefix>[KMGT]?)bits/sec(?P<tail>.*)"
)
_CONNECTED = re.compile(r"\[ *\d+\] local \S+ port (\d{1,5}) connected to ")
_COUNT = re.compile(r"\d{1,12}")
# Of a UDP test; iperf3 subtracts a reordered datagram from the lost ones, below zero too.
_DATAGRAMS = re.compile(rf" *{_NUMBER} ms +(?P<lost>-?\d{{1,12}})/(?P<total>\d{{1,12}}) ")
_ENDS: Mapping[str, End] = {"sender": "sender", "receiver": "receiver"}
# A server does not call it an error when its client goes away.
_ERROR = re.compile(r"iperf3: (?:(?:parameter )?error - |(?=the client has ))(?P<text>.*)")
_VERSION = re.compile(r"iperf (?P<version>\d{1,4}\.\d{1,4}(?:\.\d{1,4})?)\b")
_BITS: Mapping[str, float] = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}

# What an error of iperf3 contains (lower case) → its reason; the first that fits counts.
REASONS: Mapping[str, str] = {
    "connection refused": "refused",
    "authorization failed": "auth",
    "server is busy": "busy",
    "name or service not known": "unresolved",
    "name resolution": "unresolved",
    "no address associated": "unresolved",
    "no route to host": "unreachable",
    "network is unreachable": "unreachable",
    "timed out": "timeout",
    "idle timeout": "timeout",
    "address already in use": "port_taken",
    "cannot assign requested address": "bind",
    "closed unexpectedly": "died",
    "unexpectedly closed": "died",
    "server has terminated": "died",
    "client has terminated": "died",
    "connection reset": "died",
    "broken pipe": "died",
}
OTHER_ERROR = "protocol"
# Before, iperf3 asked for the password at its terminal.
PASSWORD_SINCE = (3, 7)
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Interval:
    """One interval's rate, over all streams of the test."""

    start_s: float
    end_s: float
    rate_bps: float


@dataclass(frozen=True, slots=True)
class Datagrams:
    """What a UDP test sent and lost, and the jitter of RFC 3550 §6.4.1 at its end."""

    sent: int
    lost: int
    jitter_s: float


@dataclass(frozen=True, slots=True)
class EndSummary:
    """One end's view of the whole test. `retransmits` is None where it is not printed, as after an interrupt.

    `datagrams` is a UDP test's.
    """

    end: End
    duration_s: float
    rate_bps: float
    retransmits: int | None = None
    datagrams: Datagrams | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """An error that iperf3 prints: a reason to group by, and its own words."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Build:
    """An iperf3 program: its version, and whether it can show and ask for a secret."""

    version: Version
    authentication: bool

    def __str__(self) -> str:
        """The version as iperf3 writes it."""
        return ".".join(str(part) for part in self.version)


@dataclass(slots=True)
class Transcript:
    """What the output says so far. With several streams only their `[SUM]` lines count.

    `ports` are our ends of the test's connections. `arrived_bytes` is what arrived at them, where it was counted.
    """

    streams: int = 1
    intervals: list[Interval] = field(default_factory=list)
    summaries: dict[End, EndSummary] = field(default_factory=dict)
    fault: Fault | None = None
    ports: set[int] = field(default_factory=set)
    arrived_bytes: int = 0

    def feed(self, line: str) -> Interval | None:
        """Take one line in; returns the interval when the line was a new one."""
        error = _ERROR.match(line)
        if error:
            self.fault = self.fault or _fault(error["text"])
            return None
        connected = _CONNECTED.match(line)
        if connected:
            self.ports.add(int(connected[1]))
        rate = _RATE.match(line)
        if not rate or (rate["stream"] == "SUM") != (self.streams > 1):
            return None
        interval = Interval(float(rate["start"]), float(rate["end"]), float(rate["rate"]) * _BITS[rate["prefix"]])
        # Retransmits first and the end last, where they are printed; a sender's window stands between them.
        words = rate["tail"].split() or [""]
        end = _ENDS.get(words[-1])
        if end is None:
            return None if words[-1] == "(omitted)" else self._append(interval)
        count = int(words[0]) if _COUNT.fullmatch(words[0]) else None
        duration_s = interval.end_s - interval.start_s
        self.summaries[end] = EndSummary(end, duration_s, interval.rate_bps, count, _datagrams(rate["tail"]))
        return None

    def _append(self, interval: Interval) -> Interval | None:
        # iperf3 3.12 prints the last interval twice when its server dies.
        if interval.start_s < (self.intervals[-1].end_s if self.intervals else 0.0):
            return None
        self.intervals.append(interval)
        return interval


def _datagrams(tail: str) -> Datagrams | None:
    found = _DATAGRAMS.match(tail)
    return found and Datagrams(int(found["total"]), max(0, int(found["lost"])), float(found[1]) / 1e3)


def parse_build(text: str) -> Build | None:
    """What `iperf3 --version` says; None where it names no version as iperf3 does."""
    found = _VERSION.search(text)
    if found is None:
        return None
    version = parse_version(found["version"])
    return Build(version, "authentication" in text and version >= PASSWORD_SINCE)


def parse_version(text: str) -> Version:
    """The numbers of a version such as 3.19.1; empty when there are none."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", text[:64]))


def _fault(text: str) -> Fault:
    known = text.lower()
    reason = next((reason for part, reason in REASONS.items() if part in known), OTHER_ERROR)
    return Fault(reason, text.strip()[:_SHOWN_CHARACTERS])
