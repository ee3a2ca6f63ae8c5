"""Clocks and timestamps: which clock times what, and how both ends write times on the wire.

Four times belong to a probe: the sender's kernel stamps T1 when it leaves, the reflector's kernel stamps T2 when it
arrives there, the reflector reads T3 just before it replies, and the sender's kernel stamps T4 when the reply arrives.

    RTT     = (T4 − T1) − (T3 − T2)    two differences, each on one clock: the two clocks need not agree
    forward = T2 − T1                  between two clocks: only as good as both are synchronised
    back    = T4 − T3                  likewise

So an RTT is right whatever the other machine's clock says, and it leaves out how long the reflector took. A one-way
delay is given only where both kernels call their clocks synchronised (`read`), with the sum of both error bounds, and
a negative one is published as it is: clamping it would hide the error that it shows.

Kernel stamps are of the wall clock (CLOCK_REALTIME), which NTP or an operator may step. The monotonic clock is never
stepped, but a packet's stamp never is of it. So each probe keeps a pair, both clocks at one moment (`moment`): where
the wall clock went further or less far than the monotonic one between sending and arrival, it was stepped, and the
sample is set aside as `clock_stepped` instead of becoming an RTT (`session`).

On the wire times are 64-bit NTP timestamps, or truncated PTPv2 ones where the error estimate's Z bit says so, and an
error estimate is S (synchronised), Z, scale and multiplier (RFC 8762 §4.2.1, RFC 8186).
"""

from __future__ import annotations

import ctypes
import math
import time
from typing import NamedTuple

_UNSYNCHRONISED = 0x0040  # STA_UNSYNC
_FAILED = -1
_AT_ONCE_S = 1e-4  # reading a clock takes 100 ns: a longer pair of readings was interrupted
_LIBC = ctypes.CDLL(None, use_errno=True)
NS_PER_S = 1_000_000_000
# NTP counts in 2^-32 s from 1900, in eras of 2^32 s.
_NTP_EPOCH = 2_208_988_800 << 32  # 1970
_ERA = 2**64
_MASK = _ERA - 1
_HALF_SECOND = 2**31
_SYNCHRONISED = 0x8000
_PTP = 0x4000
_MAX_SCALE = 63
_MAX_MULTIPLIER = 255


class Clock(NamedTuple):
    """Whether the clock follows UTC, and by how much it may be wrong."""

    synchronised: bool
    error_s: float


UNKNOWN = Clock(synchronised=False, error_s=16.0)  # the kernel's own bound for an undisciplined clock


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


class ErrorEstimate(NamedTuple):
    """How well a clock follows UTC. `error_s` is None where the packet's estimate is corrupt."""

    synchronised: bool
    ptp: bool
    error_s: float | None


def ntp_from_ns(ns: int) -> int:
    """Nanoseconds since 1970 as a 64-bit NTP timestamp: seconds since 1900 and a 32-bit fraction."""
    return ((ns << 32) + NS_PER_S // 2) // NS_PER_S + _NTP_EPOCH & _MASK


def ns_from_ntp(raw: int) -> int:
    """A 64-bit NTP timestamp as nanoseconds since 1970, for the years 1968 to 2104."""
    # RFC 4330 §3: with the top bit clear the time is in the era that begins in 2036.
    era = 0 if raw >> 63 else _ERA
    return (raw + era - _NTP_EPOCH) * NS_PER_S + _HALF_SECOND >> 32


def ns_from_ptp(raw: int) -> int:
    """A truncated PTPv2 timestamp as nanoseconds since 1970."""
    return (raw >> 32) * NS_PER_S + (raw & 0xFFFFFFFF)


def to_ns(raw: int, error_estimate: int) -> int:
    """A packet's timestamp as nanoseconds since 1970, in the format that its error estimate names."""
    return ns_from_ptp(raw) if error_estimate & _PTP else ns_from_ntp(raw)


def encode_error(error_s: float, *, synchronised: bool) -> int:
    """S, Z, scale and multiplier of an error, rounded up; an error beyond 2^39 s is cut to the largest.

    RFC 8762 §4.2.1, from RFC 4656 §4.1.2: error = multiplier · 2^(scale − 32) s; the multiplier is never 0.
    """
    units = min(max(error_s * 2**32, 1.0), _MAX_MULTIPLIER * 2.0**_MAX_SCALE)
    # frexp is exact where a logarithm may round below, and the multiplier spill into the scale.
    scale = min(max(0, math.frexp(units / _MAX_MULTIPLIER)[1]), _MAX_SCALE)
    multiplier = math.ceil(math.ldexp(units, -scale))
    return synchronised * _SYNCHRONISED | scale << 8 | multiplier


def decode_error(raw: int) -> ErrorEstimate:
    """Take a packet's error estimate apart."""
    scale, multiplier = raw >> 8 & _MAX_SCALE, raw & 0xFF
    error_s = math.ldexp(multiplier, scale - 32) if multiplier else None
    return ErrorEstimate(bool(raw & _SYNCHRONISED) and multiplier > 0, bool(raw & _PTP), error_s)
