"""How long the interpreter itself may hold up the event loop: the search for cycles, and the turns of threads.

A room of its own, as ingest and the daemon both set it. A full search goes over all objects: at 200 sites it took
100 ms, several times a minute, in which nothing is answered.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import sys
from collections.abc import Iterator

# Allocations before the youngest objects are searched, and searches before the older ones are: what arrives dies young.
_THRESHOLDS = (10_000, 20, 50)
# The event loop waits for its turn so long, each time, where other threads compute.
_TURN_S = 0.001


def settle() -> None:
    """What is there now stays: leave it out of searches for cycles. Once, when everything is built."""
    sys.setswitchinterval(_TURN_S)
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # else what DuckDB made is reported as leaked at the end
    gc.set_threshold(*_THRESHOLDS)


@contextlib.contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """A batch makes thousands of objects and no cycles: searching for cycles would take a third of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
