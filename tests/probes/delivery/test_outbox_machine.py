"""The outbox under any order of calls and restarts: what is neither committed nor counted as lost still waits."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from probes.delivery.outbox import Outbox

MAX_BYTES = 500


class OutboxCalls(RuleBasedStateMachine):
    """An outbox against a list of what was added and not taken away."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="linkweather-test-"))
        self.outbox = self.opened()
        self.waiting: dict[int, bytes] = {}
        self.added = self.taken = self.dropped = 0

    def opened(self) -> Outbox:
        return Outbox(self.folder / "outbox.sqlite", new_boot=lambda: "boot", max_bytes=MAX_BYTES)

    @rule(size=st.integers(1, 200))
    def add(self, size: int) -> None:
        payload = bytes([65 + size % 26]) * size
        number = self.outbox.add("latency", lambda _boot, _seq: payload)
        assert number == self.added
        self.added += 1
        self.waiting[number] = payload
        while sum(map(len, self.waiting.values())) > MAX_BYTES:  # the oldest go first
            del self.waiting[min(self.waiting)]
            self.dropped += 1

    @rule(seqs=st.sets(st.integers(0, 30)), refused=st.booleans(), boot=st.sampled_from(["boot", "another"]))
    def take_away(self, seqs: set[int], boot: str, *, refused: bool) -> None:
        there = self.waiting.keys() & seqs if boot == "boot" else set()
        take = self.outbox.refused if refused else self.outbox.committed
        assert take(boot, seqs) == len(there)
        self.waiting = {seq: payload for seq, payload in self.waiting.items() if seq not in there}
        self.taken += len(there)

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.outbox = self.opened()

    @invariant()
    def what_was_added_waits_or_is_counted(self) -> None:
        found = self.outbox.reports(self.outbox.oldest(1000))
        assert {each.seq: each.payload for each in found} == self.waiting
        assert self.outbox.newest(2) == sorted(self.waiting)[-2:]
        depth = self.outbox.depth()
        assert (depth.reports, depth.dropped_reports) == (len(self.waiting), self.dropped)
        assert self.added == len(self.waiting) + self.taken + self.dropped

    def teardown(self) -> None:
        self.outbox.close()
        shutil.rmtree(self.folder)


TestOutboxCalls = OutboxCalls.TestCase
TestOutboxCalls.settings = settings(max_examples=10, stateful_step_count=20, deadline=None)
