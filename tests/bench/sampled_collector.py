"""A collector that writes down where its processor time goes: seconds by stage, since its start, once a second.

`whole_path` runs its `main` with two arguments: the settings, and the file for the shares.

A thread looks at every other thread each SAMPLE_S: what processor time the thread has had since goes to the stage that
its innermost frame of ours, or of a library that has a stage, belongs to. Of threads that are none of Python's only
the sum is known. The sampling itself is a stage, too.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from collector import daemon
from collector.settings import CollectorSettings
from linkweather import atomicfile
from linkweather import settings as files

SAMPLE_S = 0.004
WRITE_S = 1.0
# Part of a file's path → stage; the first that fits.
STAGES: Mapping[str, str] = {
    "/collector/ingest/admission": "parse and admit",
    "/linkweather/wire/": "parse and admit",
    "/collector/ingest/acknowledgement": "acknowledge",
    "/collector/ingest/": "ingest, the rest",
    "/collector/store/decision": "decide",
    "/collector/store/past_decisions": "decide",
    "/collector/store/retention": "retention",
    "/collector/store/roll_up": "retention",
    "/collector/sinks/": "export",
    "/collector/store/": "commit",
    "/collector/linkstate/": "link state",
    "/collector/routing/": "decide",
    "/collector/route_updater": "decide",
    "/collector/incident": "incidents",
    "/collector/api": "API",
    "/linkweather/mqtt": "MQTT",
    "/aiomqtt/": "MQTT",
    "/paho/": "MQTT",
    "/tests/bench/sampled_collector": "sampling",
}
# An exporter's own thread reads the journal by the store's modules.
THREADS: Mapping[str, str] = {"sink ": "export"}


def stage_of(frame: FrameType | None, thread: str) -> str:
    """The stage of a stack."""
    for name, stage in THREADS.items():
        if thread.startswith(name):
            return stage
    while frame is not None:
        for part, stage in STAGES.items():
            if part in frame.f_code.co_filename:
                return stage
        frame = frame.f_back
    return "event loop, the rest"


class Sampler:
    """Counts processor seconds by stage, in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._spent: dict[int, float] = {}
        threading.Thread(target=self._run, name="sampler", daemon=True).start()

    def _run(self) -> None:
        written = 0.0
        while True:
            time.sleep(SAMPLE_S)
            self._sample()
            if time.monotonic() - written > WRITE_S:
                written = time.monotonic()
                atomicfile.replace(self._path, json.dumps(self._seconds | {"all": time.process_time()}))

    def _sample(self) -> None:
        frames = sys._current_frames()
        for thread in threading.enumerate():
            if thread.ident not in frames:
                continue
            try:
                spent = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            except OSError:  # it has ended
                continue
            self._seconds[stage_of(frames[thread.ident], thread.name)] += spent - self._spent.get(thread.ident, 0.0)
            self._spent[thread.ident] = spent
        frames.clear()  # this frame is one of them: what is in such a cycle waits for a search for garbage


def main() -> None:
    """Run the collector."""
    config, shares = map(Path, sys.argv[1:])
    Sampler(shares)
    asyncio.run(daemon.run(files.load(config, CollectorSettings).below(config.parent)))
