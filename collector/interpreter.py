"""What the interpreter itself costs: how long it may hold up the event loop, and what it keeps of freed memory.

A room of its own, as ingest and the daemon both set it. A full search for cycles goes over all objects: at 200 sites it
took 100 ms, several times a minute, in which nothing is answered.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator

# Allocations before the youngest objects are searched, and searches before the older ones are: what arrives dies young.
_THRESHOLDS = (10_000, 20, 50)
# The event loop waits for its turn so long, each time, where other threads compute: after each step of numpy's, too.
# At 1,000 sites 79 % of the rows were committed in the first minutes, and 65 % with a quarter of it.
_TURN_S = 0.0002
# glibc keeps what the many threads freed between what they use: of an answer about 40,000 links, some 100 MB.
GIVE_BACK_EVERY_S = 15.0


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


async def give_memory_back() -> None:
    """Give freed memory back to the machine, until cancelled; without glibc there is nothing to do."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:  # at first what the start took
        await asyncio.to_thread(trim, 0)  # some milliseconds, without the interpreter's lock
        await asyncio.sleep(GIVE_BACK_EVERY_S)
