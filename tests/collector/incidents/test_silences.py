"""What a silence covers, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collector.incidents import silences as module
from collector.incidents.silences import Silences
from linkweather.models.incidents import FindingAnswer, IncidentAnswer, SilenceAnswer

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def _silence(id_: str = "s1", hours: float = 1.0, **of: Any) -> SilenceAnswer:
    return SilenceAnswer(id=id_, at=NOON, until=NOON + timedelta(hours=hours), reason="repairs", **of)


def _finding(kind: Any, src: str | None, dst: str | None = None, *, over: bool = False) -> FindingAnswer:
    return FindingAnswer(kind=kind, src=src, dst=dst, since=NOON, until=NOON if over else None)


def _incident(*findings: FindingAnswer, cause: str = "a – b", **more: Any) -> IncidentAnswer:
    fields = {"kind": "loss", "severity": "warning", "subjects": (), "since": NOON, "sentence": "", **more}
    return IncidentAnswer(id="i1", cause=cause, findings=findings, **fields)


LOSS, BACK, ELSEWHERE = _finding("loss", "a", "b"), _finding("latency", "b", "a"), _finding("loss", "a", "c")


@pytest.mark.parametrize(
    ("silence", "findings", "covered"),
    [
        ({"site": "a"}, (LOSS, BACK), True),
        ({"site": "a"}, (LOSS, ELSEWHERE), True),
        ({"site": "b"}, (LOSS, ELSEWHERE), False),  # goes beyond it
        ({"site": "b"}, (LOSS, _finding("loss", "a", "c", over=True)), True),  # does so no more
        ({"src": "b", "dst": "a"}, (LOSS, BACK), True),
        ({"src": "a", "dst": "c"}, (LOSS,), False),
        ({"kind": "loss"}, (LOSS, ELSEWHERE), True),
        ({"kind": "loss"}, (LOSS, BACK), False),
        ({"kind": "loss", "site": "b"}, (LOSS,), True),
        ({"kind": "sink"}, (_finding("sink", None),), True),
        ({"incident": "i1"}, (LOSS,), True),
        ({"incident": "i2"}, (LOSS,), False),
    ],
)
def test_what_a_silence_covers(silence: dict[str, Any], findings: tuple[FindingAnswer, ...], covered: bool) -> None:  # noqa: FBT001
    found = Silences([_silence(**silence)]).of(_incident(*findings), NOON)
    assert (found is not None) == covered


def test_findings_that_an_answer_omits_may_go_beyond_it() -> None:
    assert Silences([_silence(site="a")]).of(_incident(LOSS, omitted_findings=1), NOON) is None
    assert Silences([_silence(site="a")]).of(_incident(LOSS, omitted_findings=1, cause="a"), NOON) is not None


def test_the_end_of_an_acknowledged_incident_is_news_and_that_of_a_silenced_one_is_not() -> None:
    over = _incident(_finding("loss", "a", "b", over=True), until=NOON)
    assert Silences([_silence(incident="i1")]).of(over, NOON) is None
    assert Silences([_silence(site="a")]).of(over, NOON) is not None


def test_a_silence_ends() -> None:
    silences = Silences([_silence(site="a")])
    assert silences.of(_incident(LOSS), NOON + timedelta(minutes=59)) is not None
    assert silences.of(_incident(LOSS), NOON + timedelta(hours=1)) is None
    assert silences.lasting(NOON + timedelta(hours=1)) == []
    assert silences.lasting(NOON) == []  # forgotten


def test_of_several_the_one_that_ends_last_counts() -> None:
    silences = Silences([_silence("s1", 1.0, site="a"), _silence("s2", 2.0, site="b")])
    found = silences.of(_incident(LOSS), NOON)
    assert found is not None
    assert found.id == "s2"


def test_an_incident_acknowledged_again_has_the_newer_one() -> None:
    silences = Silences()
    assert silences.add(_silence("s1", incident="i1"))
    assert silences.add(_silence("s2", incident="i1"))
    assert [one.id for one in silences.lasting(NOON)] == ["s2"]


def test_silences_are_ended_by_their_id() -> None:
    silences = Silences([_silence(site="a")])
    assert silences.remove("s1")
    assert not silences.remove("s1")
    assert silences.lasting(NOON) == []


def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SILENCES", 1)
    silences = Silences([_silence(site="a")])
    assert not silences.add(_silence("s2", site="b"))
