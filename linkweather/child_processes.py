"""Child processes: they end with the process that started them, however it dies, and are stopped in order.

A room of its own because it loads libc before any fork, and lab, demo, page, probes and embedded broker need it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal

# linux/prctl.h, linux/capability.h
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAP_NET_RAW = 13

# Loaded before any fork: after one, only calls that take no lock are safe.
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies; kept across exec. Fit for `preexec_fn`."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def without_raw_sockets() -> None:
    """Give up CAP_NET_RAW for the program that is started, ambient as a unit gives it, or root's. Fit for `preexec_fn`.

    Only root may drop from the bounding set; to any other user the call does nothing, and no capability is left.
    """
    _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    _LIBC.prctl(_PR_CAPBSET_DROP, _CAP_NET_RAW, 0, 0, 0)


async def stop_child(process: asyncio.subprocess.Process, limit_s: float) -> None:
    """End a child by SIGTERM, and by SIGKILL where it takes longer than `limit_s`."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await process.wait()
