"""What the kernel says about this machine's clock: synchronised or not, and its error."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

_UNSYNCHRONISED = 0x0040  # STA_UNSYNC
_FAILED = -1


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


def read() -> Clock:
    """Read the clock's state; `error_s` is the kernel's bound (maxerror), not its guess (esterror)."""
    timex = _Timex()  # modes 0: reads, and sets nothing
    if _LIBC.adjtimex(ctypes.byref(timex)) == _FAILED:
        return UNKNOWN
    return Clock(not timex.status & _UNSYNCHRONISED, timex.maxerror / 1e6)
