"""Child processes that end with the process that started them, however it dies.

A room of its own because it loads libc before any fork, and the lab, the demo and the embedded broker need it.
"""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

# Loaded before any fork: after one, only calls that take no lock are safe.
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies; kept across exec. Fit for `preexec_fn`."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
