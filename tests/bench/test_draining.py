"""A backlog over a long path: drained ten times as fast as reports arrive, and the newest ones do not wait for it."""

from __future__ import annotations

from pathlib import Path

from tests.bench.draining import ARRIVAL_S, drain


async def test_a_backlog_drains_over_300_ms_at_ten_times_the_arrival_and_new_reports_pass_it(tmp_path: Path) -> None:
    found, seconds = await drain(tmp_path, reports=1500, delay_s=0.15)
    assert 1500 / seconds > 10 / ARRIVAL_S
    assert found.waits_s
    assert max(found.waits_s) < seconds / 2
    assert found.received < 1.1 * 1500
