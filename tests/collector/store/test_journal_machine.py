"""The journal under any order of commits and restarts: each report is in it once, whatever comes again."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from collector.store.journal import Journal
from tests.collector.report_samples import entry, latency

KEYS = st.integers(0, 12)


class JournalCommits(RuleBasedStateMachine):
    """A journal against the set of the numbers that were committed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="linkweather-test-"))
        self.journal = self.opened()
        self.recorded: list[int] = []

    def opened(self) -> Journal:
        return Journal(self.folder / "journal.duckdb", memory_limit_mb=64)

    @rule(seqs=st.lists(KEYS, min_size=1, max_size=6))
    def commit(self, seqs: list[int]) -> None:
        new = self.journal.commit([entry(latency(seq)) for seq in seqs])
        expected = [seq for seq in dict.fromkeys(seqs) if seq not in self.recorded]
        assert [each.report.seq for each in new] == expected
        self.recorded += expected

    @rule()
    def restart(self) -> None:
        self.journal.close()
        self.journal = self.opened()

    @invariant()
    def each_report_is_there_once(self) -> None:
        rows = self.journal.database.rows("SELECT seq FROM latency ORDER BY number")
        assert [seq for (seq,) in rows] == self.recorded

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.folder)


TestJournalCommits = JournalCommits.TestCase
TestJournalCommits.settings = settings(max_examples=3, stateful_step_count=8, deadline=None)
