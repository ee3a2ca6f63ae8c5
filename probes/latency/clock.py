"""This machine's clocks: both at one moment, and what the kernel says of the wall clock."""

from __future__ import annotations

import ctypes
import time
from typing import NamedTuple

_UNSYNCHRONISED = 0x0040  # STA_UNSYNC
_FAILED = -1
_AT_ONCE_S = 1e-4  # reading a clock takes 100 ns: who took longer for two was interrupted


class Clock(NamedTuple):
    """Whether the clock follows UTC, and by how much it may be wrong."""

    synchronised: bool
    error_s: float


UNKNOWN = Clock(synchronised=False, error_s=16.0)  # the kernel's own bound for a clock that nobody steers


class _Timex(ctypes.Structure):
    # struct timex, adjtimex(2), up to `status`; what follows is given its room and not read.
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


_LIBC = ctypes.CDLL(None, use_errno=True)


def moment() -> tuple[float, int]:
    """The monotonic clock in s and the wall clock in ns, at one moment: on a busy machine they may be ms apart."""
    while True:
        now, wall_ns = time.monotonic(), time.time_ns()
        if time.monotonic() - now < _AT_ONCE_S:
            return now, wall_ns


def read() -> Clock:
    """Read the clock's state; `error_s` is the kernel's bound (maxerror), not its guess (esterror)."""
    timex = _Timex()  # modes 0: reads, and sets nothing
    if _LIBC.adjtimex(ctypes.byref(timex)) == _FAILED:
        return UNKNOWN
    return Clock(not timex.status & _UNSYNCHRONISED, timex.maxerror / 1e6)
