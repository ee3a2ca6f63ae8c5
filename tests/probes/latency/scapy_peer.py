"""A reflector that is not ours: bare RFC 8762, stateless, its packets read and written by scapy."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # scapy's own deprecations
    from scapy.contrib import stamp

__all__ = ["error", "ntp", "reflector", "stamp"]

_NTP_EPOCH_S = 2_208_988_800
_BASE_BYTES = 44


def ntp(ns: int) -> Fraction:
    """Nanoseconds since 1970 as scapy takes them: seconds since 1900."""
    return Fraction(ns, 10**9) + _NTP_EPOCH_S


def error(*, synchronised: bool) -> Any:
    """An error of 2^-10 s."""
    return stamp.ErrorEstimate(S=int(synchronised), Z=0, scale=22, multiplier=1)


def reply(data: bytes, *, received_ns: int, sent_ns: int, synchronised: bool) -> bytes:
    """What RFC 8762 §4.3 says, and nothing of RFC 8972: the session identifier is zero, what follows is copied."""
    request = stamp.STAMPSessionSenderTestUnauthenticated(data[:_BASE_BYTES])
    base = stamp.STAMPSessionReflectorTestUnauthenticated(
        seq=request.seq,
        ts=ntp(sent_ns),
        err_estimate=error(synchronised=synchronised),
        ssid=0,
        ts_rx=ntp(received_ns),
        seq_sender=request.seq,
        ts_sender=Fraction(int.from_bytes(data[4:12]), 2**32),  # what scapy reads is rounded to a nanosecond
        err_estimate_sender=request.err_estimate,
        ttl_sender=255,
    )
    return bytes(base) + data[_BASE_BYTES:]


@contextlib.contextmanager
def reflector(
    *,
    ahead_ns: int = 0,
    synchronised: bool = False,
    drops: Callable[[int], bool] = lambda _: False,
    octets: int | None = None,
) -> Iterator[int]:
    """Runs on loopback, its clock ahead by so much; yields the port.

    `drops` says which replies to keep back, `octets` how many to send of each, as responders of TWAMP-Light do.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.settimeout(0.05)
        over = threading.Event()
        thread = threading.Thread(
            target=_reflect, args=(opened, over, ahead_ns, drops, octets), kwargs={"s": synchronised}
        )
        thread.start()
        try:
            yield opened.getsockname()[1]
        finally:
            over.set()
            thread.join()


def _reflect(
    opened: socket.socket,
    over: threading.Event,
    ahead_ns: int,
    drops: Callable[[int], bool],
    octets: int | None,
    *,
    s: bool,
) -> None:
    while not over.is_set():
        try:
            data, source = opened.recvfrom(2048)
        except TimeoutError:
            continue
        received_ns = time.time_ns()
        if drops(int.from_bytes(data[:4])):
            continue
        now_ns = max(time.time_ns(), received_ns)
        sent = reply(data, received_ns=received_ns + ahead_ns, sent_ns=now_ns + ahead_ns, synchronised=s)
        opened.sendto(sent[:octets], source)
