"""A filter in the kernel for a reflector that gets more than it can read: the mesh's probes pass, of the rest a share.

Who floods a reflector fills its socket's buffer, and the probes of its peers are lost with the rest, before any rule of
ours sees them. So once the buffer fills, a classic BPF program (Linux, `Documentation/networking/filter.rst`) lets
the peers' own sessions in, known by their source port and SSID, 32 bits that a stranger does not know, and of all
other datagrams as many at random as leave time for them.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Iterable
from struct import Struct
from typing import Final

MOST_SESSIONS: Final = 1000
STRANGERS_PER_S: Final = 2000  # less than a core that has much else to do reads
FILLING: Final = 0.25  # of the buffer: a flood fills the rest within a tenth of a second
FIRST_SHARE: Final = 0.05
RENEW_S: Final = 1.0  # how often the filter follows the sessions: who they are is read of all that sent lately
CALM_S: Final = 5.0  # how long after a flood the filter stays: it may only have paused

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_PROGRAM = Struct("@HP")  # struct sock_fprog: length, instructions
_INSTRUCTION = Struct("@HBBI")  # struct sock_filter: code, jump if true, jump if false, operand
_LOAD_HALF, _LOAD_WORD, _SHIFT, _OR_X, _TO_X, _IF_EQUAL, _IF_AT_LEAST, _RETURN = (
    0x28,
    0x20,
    0x64,
    0x4C,
    7,
    0x15,
    0x35,
    6,
)
_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
_WHOLE = 0xFFFFFFFF
_UDP_BYTES = 8  # the program's octet 0 is the UDP header's first


def strangers_share(arrived_per_s: float, dropped: int, filled: float, *, filtering: bool) -> float | None:
    """Which share of strangers' datagrams to let in, by what came and what of it the kernel dropped; None: all.

    `filled` is how much of the buffer waits to be read, from 0 to 1. What came is at first what could be read of it.
    """
    if arrived_per_s <= STRANGERS_PER_S or not (dropped or filtering or filled > FILLING):
        return None
    share = STRANGERS_PER_S / arrived_per_s
    return share if filtering else min(share, FIRST_SHARE)


def program(sessions: Iterable[tuple[int, bytes]], ssid_at: int, share: float) -> bytes:
    """Let in these sessions, by source port and SSID (which stands at `ssid_at`), and this share of the rest.

    A datagram that is too short for an SSID is dropped.
    """
    steps = [(_LOAD_HALF, 0, 0, _UDP_BYTES + ssid_at), (_TO_X, 0, 0, 0), (_LOAD_HALF, 0, 0, 0)]
    steps += [(_SHIFT, 0, 0, 16), (_OR_X, 0, 0, 0)]
    for port, ssid in sessions:
        steps += [(_IF_EQUAL, 0, 1, port << 16 | int.from_bytes(ssid)), (_RETURN, 0, 0, _WHOLE)]
    steps += [(_LOAD_WORD, 0, 0, _RANDOM), (_IF_AT_LEAST, 0, 1, int(share * _WHOLE))]
    steps += [(_RETURN, 0, 0, 0), (_RETURN, 0, 0, _WHOLE)]
    return b"".join(_INSTRUCTION.pack(*step) for step in steps)


def attach(opened: socket.socket, steps: bytes) -> None:
    """Filter a socket from now on, instead of how it was filtered before. Raises OSError."""
    kept = ctypes.create_string_buffer(steps, len(steps))
    packed = _PROGRAM.pack(len(steps) // _INSTRUCTION.size, ctypes.addressof(kept))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, packed)


def detach(opened: socket.socket) -> None:
    """Filter a socket no more. Raises OSError."""
    opened.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
