"""The installed iperf3: its version, the options that each version knows, the command lines of a test's two ends.

An iperf3 that meets an option that it does not know prints its usage and ends. So each option stands in `OPTIONS` with
the versions that know it (iperf3's RELNOTES.md), and a command line has only what its program knows. What is lost:

- without `--forceflush` the lines come in blocks of 4 KiB: a test runs to its end, and a server cannot be awaited;
- without the time-outs a vanished peer holds the program until our own watchdog ends it;
- before 3.10 a server allows a clock skew of 10 s, which is what we ask for.

Padding of the secret: iperf3 3.17 went from PKCS#1 v1.5 to OAEP (CVE-2024-26306). A newer end steps back for an older
one by `--use-pkcs1-padding`, as a client up to 3.19 only. From 3.20 on a client cannot talk to a server below 3.17 that
asks for a secret: there the older end places the call (`negotiation`), or the test runs without a secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from linkweather.errors import MeasurementError, OperatorError
from probes import child_process
from probes.throughput.iperf3_output import Build, Version, parse_build

Role = Literal["client", "server"]

PROGRAM: Final = "iperf3"
VERSION_LIMIT_S = 5.0
MISSING: Final = "the program iperf3 is missing: install the package iperf3, or test latency only"
# What serves or calls in an arranged test must print each line when it happens, and know one-off servers.
ARRANGED_SINCE: Final[Version] = (3, 1, 5)
UDP_SINCE: Final[Version] = (3, 2)  # earlier summaries of UDP do not say whose they are
OAEP_SINCE: Final[Version] = (3, 17)
CLIENT_PADS_UNTIL: Final[Version] = (3, 20)


@dataclass(frozen=True, slots=True)
class Known:
    """Which ends know an option, from the version `since` on; clients below `client_until` alone, where it is given."""

    since: Version
    client: bool = True
    server: bool = True
    client_until: Version | None = None


# The options that not every version from 3.1 on knows.
OPTIONS: Mapping[str, Known] = {
    "--forceflush": Known((3, 1, 5)),
    "--connect-timeout": Known((3, 2), server=False),
    "--username": Known((3, 2), server=False),
    "--rsa-public-key-path": Known((3, 2), server=False),
    "--rsa-private-key-path": Known((3, 2), client=False),
    "--authorized-users-path": Known((3, 2), client=False),
    "--rcv-timeout": Known((3, 10)),
    "--time-skew-threshold": Known((3, 10), client=False),
    "--idle-timeout": Known((3, 11), client=False),  # 3.10 ignores it in a one-off server
    "--snd-timeout": Known((3, 12)),
    "--use-pkcs1-padding": Known(OAEP_SINCE, client_until=CLIENT_PADS_UNTIL),
}


def knows(build: Build, role: Role, option: str) -> bool:
    """Whether this iperf3, as this end of a test, takes an option; what is not in `OPTIONS` every version takes."""
    known = OPTIONS.get(option)
    if known is None:
        return True
    if role == "server":
        return known.server and build.version >= known.since
    until = known.client_until
    return known.client and known.since <= build.version and (until is None or build.version < until)


def command(build: Build, role: Role, options: Iterable[Sequence[str]]) -> list[str]:
    """The command line: those of the options, each with its value, that this iperf3 knows. Raises as `find`."""
    return [find(), *(word for option in options if knows(build, role, option[0]) for word in option)]


def pads_alike(server: Version, client: Version) -> bool:
    """Whether a client can show its secret to a server: both pad alike, or the newer can step back."""
    return server >= OAEP_SINCE or client < CLIENT_PADS_UNTIL


def padding(own: Version, peer: Version) -> tuple[str, ...]:
    """The option by which our iperf3 pads as an older peer's does, where it is needed; a peer of no version is old."""
    return ("--use-pkcs1-padding",) if own >= OAEP_SINCE > peer else ()


def too_old(build: Build) -> str | None:
    """Why this iperf3 cannot take part in tests that two sites arrange; None when it can."""
    return _since(build, ARRANGED_SINCE, "take part in arranged throughput tests")


def too_old_for_udp(build: Build) -> str | None:
    """Why this iperf3 cannot test UDP; None when it can, or names no version."""
    return _since(build, UDP_SINCE, "say how much of a UDP test arrived") if build.version else None


def _since(build: Build, since: Version, ability: str) -> str | None:
    if build.version >= since:
        return None
    return f"iperf3 {build} cannot {ability}: install iperf3 {'.'.join(map(str, since))} or later"


def find() -> str:
    """The program's path. Raises OperatorError when it is not installed."""
    path = shutil.which(PROGRAM)
    if path is None:
        raise OperatorError(MISSING)
    return path


async def installed() -> Build | None:
    """The installed program's version and abilities; None when it names none. Raises OperatorError as `find`."""
    async with child_process.child((find(), "--version"), {}) as process:
        with contextlib.suppress(TimeoutError, MeasurementError):
            async with asyncio.timeout(VERSION_LIMIT_S):
                return parse_build("\n".join([line async for line in child_process.lines(process)]))
    return None


def milliseconds(seconds: float) -> str:
    """A time-out as iperf3 takes it."""
    return str(round(1000 * seconds))
