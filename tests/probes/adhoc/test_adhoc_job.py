"""The user's wish to end early."""

from __future__ import annotations

from probes.adhoc.adhoc_job import StopRequest


def test_all_that_runs_is_ended_and_what_begins_later_at_once() -> None:
    stop = StopRequest()
    ended: list[str] = []
    with stop.by(lambda: ended.append("over")):
        pass
    with stop.by(lambda: ended.append("a")), stop.by(lambda: ended.append("b")):
        stop.ask()
    assert ended == ["a", "b"]
    with stop.by(lambda: ended.append("late")):
        assert ended == ["a", "b", "late"]
