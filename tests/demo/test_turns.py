"""Whose turn it is, in the demo: over a hundred tests, and never two at once at a site."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from linkweather.broker import parse_broker
from linkweather.lab.labfile import shipped
from linkweather.mqtt import Connection
from linkweather.wire import Answer, decode, topics
from tests import servers

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for network namespaces"),
]

LIMIT_S = 180
# The hubs' own slots are twice as long: a hundred tests would take a minute.
SHORTER = {"slot_s = 2.0": "slot_s = 1.2", "max_duration_s = 1.2": "max_duration_s = 0.7"}
TESTS = 100
_ROWS = 'SELECT src, dst, epoch("at"), duration_s, failure FROM throughput'
Spans = Iterable[tuple[str, str, float, float]]


@dataclass
class Bus:
    """Which tests the sites themselves say that they are in: from the source's acceptance to its last word."""

    begun: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    spans: list[tuple[str, str, float, float]] = field(default_factory=list)
    enough: int = 0
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, topic: str, payload: bytes) -> None:
        parsed, answer = topics.parse(topic), decode(Answer, payload)
        assert parsed
        if answer.served is not None:
            self.spans.append((*self.begun.pop(answer.id), time.monotonic()))
            if len(self.spans) == self.enough:
                self.heard.set()
        elif answer.accepted:
            self.begun[answer.id] = (parsed.detail, parsed.site, time.monotonic())

    async def listen(self, socket: Path, count: int) -> None:
        """Listen until so many tests are over."""
        servers.wait_until(socket.exists, "the demo's broker listens")
        self.enough = count
        connection = Connection(
            parse_broker(f"unix://{socket}"), "turns", subscriptions=(topics.answer("+", "+"),), handle=self.hear
        )
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(connection.run(), name="listen")
            async with asyncio.timeout(LIMIT_S):
                await self.heard.wait()
            listening.cancel()


def overlaps(spans: Spans) -> list[tuple[str, float]]:
    """At which sites two tests overlap, and by how many seconds."""
    at: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for src, dst, start_s, end_s in spans:
        for site in (src, dst):
            at[site].append((start_s, end_s))
    return [(site, before[1] - after[0]) for site, each in at.items() for before, after in _overlapping(sorted(each))]


def _overlapping(spans: list[tuple[float, float]]) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    return ((before, after) for before, after in pairwise(spans) if after[0] < before[1])


def test_what_overlaps_is_found() -> None:
    spans = [("a", "b", 0.0, 1.0), ("c", "d", 0.5, 1.5), ("b", "c", 1.25, 2.0), ("d", "a", 1.5, 2.0)]
    assert overlaps(spans) == [("c", 0.25)]


def test_no_two_tests_overlap_at_a_site_of_the_demo(tmp_path: Path) -> None:
    text = shipped("labs/hubs.toml").read_text()
    for before, after in SHORTER.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    lab, data = tmp_path / "hubs.toml", tmp_path / "data"
    lab.write_text(text)
    command = [sys.executable, "-m", "linkweather", "demo", "--lab", str(lab), "--json", "--quiet"]
    command += ["--port", str(servers.free_port()), "--data-dir", str(data)]
    bus = Bus()
    with (tmp_path / "outcome.json").open("wb") as output, subprocess.Popen(command, stdout=output) as demo:
        try:
            # The last tests of all may not be in the journal when the demo ends.
            asyncio.run(bus.listen(data / "mqtt", TESTS + 8))
        finally:
            demo.terminate()
    assert json.loads((tmp_path / "outcome.json").read_text())["links"] == 56
    with duckdb.connect(str(data / "collector" / "journal.duckdb"), read_only=True) as journal:
        rows = journal.execute(_ROWS).fetchall()
    done = [(src, dst, at_s - duration_s, at_s) for src, dst, at_s, duration_s, failure in rows if failure is None]
    failures = [row[-1] for row in rows if row[-1] is not None]
    print(f"{len(done)} tests, {len(failures)} failures {sorted(set(failures))}, {len(bus.spans)} heard")
    assert len(done) >= TESTS
    assert len(bus.spans) >= TESTS
    assert overlaps(done) == []
    assert overlaps(bus.spans) == []
    assert len(failures) <= 0.05 * len(rows), failures
    # A link whose test was postponed, or failed, waits for its next turn.
    assert len({(src, dst) for src, dst, *_ in done}) >= 50
