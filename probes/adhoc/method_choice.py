"""Which method an ad hoc latency test uses: the one that was asked for, or the first that the host answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from linkweather.mesh import STAMP_PORT, MethodName, Site
from probes.latency.prober import Wording

HTTPS_PORT = 443


class ProbeSeries(NamedTuple):
    """So many probes, one every `interval_s`, each given `timeout_s` at most."""

    probes: int
    interval_s: float
    timeout_s: float


# What `auto` tries, and how, until one is answered: the most telling method first.
AUTO: Mapping[MethodName, ProbeSeries] = {
    "stamp": ProbeSeries(probes=3, interval_s=0.05, timeout_s=0.5),
    "icmp": ProbeSeries(probes=3, interval_s=0.1, timeout_s=1.0),
    "tcp": ProbeSeries(probes=2, interval_s=0.1, timeout_s=1.0),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One method that was tried at a port, and whether it was answered.

    `reason` says more about silence, and `instead` what came that is no result.
    """

    method: MethodName
    wording: Wording
    port: int
    answered: bool
    reason: str = ""
    instead: str = ""

    @property
    def outcome(self) -> str:
        """What came of it, for people: `no reflector answers at UDP port 8620 (refused)`."""
        if self.instead:
            return f"{self.instead}, at port {self.port}"
        outcome = self.wording.outcome(self.port, answered=self.answered)
        return f"{outcome} ({self.reason})" if self.reason else outcome

    @property
    def used(self) -> str:
        """The method and its port: `STAMP at UDP port 8620`."""
        return self.wording.used(self.port)


def site(host: str, port: int | None, tcp_port: int | None) -> Site:
    """The host as a site of a mesh: `--port` is that of whichever method is used, `--tcp-port` is TCP's alone.

    Not validated: that the host was resolved is what matters of it.
    """
    return Site.model_construct(address=host, port=port or STAMP_PORT, tcp_port=tcp_port or port or HTTPS_PORT)


def choice(used: Attempt, before: Sequence[Attempt]) -> str:
    """Which method is used, and why: `ICMP echo, as no reflector answers at UDP port 8620`."""
    if before:
        return f"{used.used}, as {' and '.join(each.outcome for each in before)}"
    return f"{used.used}: {used.outcome}" if used.answered else used.used
