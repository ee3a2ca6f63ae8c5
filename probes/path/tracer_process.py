"""Runs the tracer in a process of its own, with a time limit, and reads its lines."""

from __future__ import annotations

import asyncio
import errno
import functools
import importlib.util
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

from linkweather.errors import MeasurementError, MessageError
from linkweather.wire import encode
from probes.child_process import child
from probes.path.tracer_lines import Begun, Done, Failed, HopSample, Line, TraceRequest, parse

# A black hole's MTU, and silent routers at 3 a second, for the first flow and again for the others.
LIMIT_S, LIMIT_PER_HOP_S = 30.0, 1.0
# 8 flows and 64 routers are 640 probes, each a line of 150 octets.
MOST_LINES = 1000
TRACER = (sys.executable, "-P", "-m", "probes.path.tracer")


@dataclass(frozen=True, slots=True)
class Traced:
    """A finished trace: the host's address, every probe, the path MTU where it is known."""

    address: str
    samples: tuple[HopSample, ...]
    path_mtu_bytes: int | None


# No right, or no such sockets here. Any other error is the moment's: no descriptors or no memory left, say.
_NO_RIGHT = frozenset({errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


def can_trace() -> bool:
    """Whether paths can be traced from here: scapy is installed, and raw sockets are allowed."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).close()
    except OSError as error:
        if error.errno in _NO_RIGHT:
            return False
    return _has_scapy()


@functools.cache
def _has_scapy() -> bool:
    return importlib.util.find_spec("scapy") is not None


class _Reading:
    """What a tracer has printed so far."""

    def __init__(self) -> None:
        self._address = ""
        self._samples: list[HopSample] = []
        self._last_words = ""

    def take(self, text: bytes) -> Line | None:
        """Take one line; any other line, such as a library's warning, is kept for the report of its death."""
        try:
            line = parse(text)
        except MessageError:
            self._last_words = text.decode(errors="replace").strip() or self._last_words
            return None
        if isinstance(line, Begun):
            self._address = line.address
        elif isinstance(line, HopSample):
            self._samples.append(line)
        elif isinstance(line, Failed):
            raise MeasurementError(line.failure, line.detail)
        return line

    def concluded(self, done: Done) -> Traced:
        """The result. Raises MeasurementError `garbage` where the beginning is missing."""
        if not self._address:
            raise MeasurementError("garbage", "the tracer ended a trace that it had not begun")
        return Traced(self._address, tuple(self._samples), done.path_mtu_bytes)

    def died(self) -> MeasurementError:
        """The error of a tracer that ended without a result."""
        return MeasurementError("died", f"the tracer ended without a result: {self._last_words[:200]}")


async def run(
    request: TraceRequest,
    on_sample: Callable[[HopSample], None] | None = None,
    *,
    command: tuple[str, ...] = TRACER,
    limit_s: float | None = None,
) -> Traced:
    """Trace the path to a host. Cancelling ends the tracer.

    Raises MeasurementError: `no_privileges`, `missing` (no scapy), `unresolved`, `unreachable`, `timeout`,
    `died`, `garbage`.
    """
    reading = _Reading()
    limit_s = LIMIT_S + request.max_hops * LIMIT_PER_HOP_S if limit_s is None else limit_s
    try:
        async with asyncio.timeout(limit_s), child((*command, encode(request).decode()), {}, raw=True) as process:
            assert process.stdout is not None  # noqa: S101  - `child` asked for the pipe
            for _ in range(MOST_LINES):
                text = await process.stdout.readline()
                if not text:
                    raise reading.died()
                line = reading.take(text)
                if isinstance(line, HopSample) and on_sample:
                    on_sample(line)
                if isinstance(line, Done):
                    return reading.concluded(line)
    except TimeoutError:
        raise MeasurementError("timeout", f"the trace was not over after {limit_s:g} s") from None
    except ValueError:  # asyncio's, for a line beyond the buffer of 64 KiB
        raise MeasurementError("garbage", "the tracer printed a line without end") from None
    raise MeasurementError("garbage", f"the tracer printed more than {MOST_LINES} lines")
