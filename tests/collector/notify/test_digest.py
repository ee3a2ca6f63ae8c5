"""Which notes go to a target, and when: gathered, filtered, bounded; worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from collector.named_tables import CommandTable
from collector.notify.digest import Digest, message, wanted
from linkweather.models.incidents import FindingAnswer, IncidentAnswer, Severity

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 13, tzinfo=UTC)


def incident(
    id_: str = "i1", *, severity: Severity = "critical", until: datetime | None = None, merged: str | None = None
) -> IncidentAnswer:
    """a → b is down."""
    return IncidentAnswer(
        id=id_,
        kind="link_down",
        severity=severity,
        cause="a – b",
        subjects=("a", "b"),
        since=NOON,
        until=until,
        sentence=f"{id_} is down",
        findings=(FindingAnswer(kind="link_down", src="a", dst="b", since=NOON),),
        routes=("traffic a → b goes through c",),
        merged_into=merged,
    )


def table(**more: object) -> CommandTable:
    """Gathers for 10 s, pauses for 60 s."""
    return CommandTable.model_validate({"kind": "command", "command": ("true",), **more})


def test_a_target_is_told_of_its_severity_and_sites() -> None:
    assert wanted(table(), incident(severity="warning"))
    assert not wanted(table(severity="critical"), incident(severity="warning"))
    assert wanted(table(severity="critical"), incident())
    assert wanted(table(sites=("b", "z")), incident())
    assert not wanted(table(sites=("z",)), incident())


def test_what_is_not_wanted_does_not_wait() -> None:
    digest = Digest(table(sites=("z",)), 10)
    assert not digest.add(incident(), 0.0)
    assert digest.due(100.0) == []


def test_notes_are_gathered_into_one_message() -> None:
    digest = Digest(table(), 10)
    assert digest.due(0.0) == []
    digest.add(incident("i1"), 0.0)
    digest.add(incident("i2"), 5.0)
    assert digest.due(9.9) == []
    assert [one.id for one in digest.due(10.0)] == ["i1", "i2"]


def test_the_next_message_waits_for_the_pause() -> None:
    digest = Digest(table(), 10)
    digest.add(incident("i1"), 0.0)
    digest.sent(digest.due(10.0), 10.0)
    digest.add(incident("i2"), 11.0)
    assert digest.due(69.9) == []
    assert [one.id for one in digest.due(70.0)] == ["i2"]


def test_of_one_incident_the_newest_note_waits_and_no_longer_than_the_first() -> None:
    digest = Digest(table(), 10)
    digest.add(incident(), 0.0)
    digest.add(incident(until=LATER), 9.0)
    assert digest.due(10.0) == [incident(until=LATER)]


def test_what_changed_while_it_was_sent_waits_again() -> None:
    digest = Digest(table(pause_s=0.0), 10)
    digest.add(incident(), 0.0)
    sent = digest.due(10.0)
    digest.add(incident(until=LATER), 11.0)
    digest.sent(sent, 12.0)
    assert digest.due(12.0) == [incident(until=LATER)]
    digest.sent([*digest.due(12.0), incident("unknown")], 13.0)
    assert digest.waiting == {}


def test_a_failure_waits_as_long_as_it_is_told() -> None:
    digest = Digest(table(), 10)
    digest.add(incident(), 0.0)
    digest.failed(10.0, wait_s=5.0)
    assert digest.due(14.9) == []
    assert digest.due(15.0) == [incident()]


def test_more_than_the_limit_is_dropped_oldest_first_and_counted() -> None:
    digest = Digest(table(), 2)
    for number in range(3):
        digest.add(incident(f"i{number}"), number)
    assert [one.id for one in digest.due(100.0)] == ["i1", "i2"]
    assert digest.dropped == 1


@pytest.mark.parametrize(
    ("incidents", "subject"),
    [
        ([incident()], "linkweather: i1 is down"),
        ([incident(until=LATER)], "linkweather: over: i1 is down"),
        ([incident("i1"), incident("i2", until=LATER)], "linkweather: 1 incident, 1 over"),
        ([incident("i1"), incident("i2")], "linkweather: 2 incidents"),
        ([incident("i1", until=LATER), incident("i2", until=LATER)], "linkweather: 2 over"),
        ([incident("i1"), incident("i2", until=LATER, merged="i1")], "linkweather: i1 is down"),
        ([incident("i2", until=LATER, merged="i1")], "linkweather: nothing new"),
    ],
)
def test_a_subject_says_how_much_is_wrong(incidents: list[IncidentAnswer], subject: str) -> None:
    assert message(incidents).subject == subject


def test_the_body_has_a_line_for_each_what_is_wrong_first() -> None:
    found = message([incident("i2", until=LATER), incident("i1", severity="warning")])
    assert found.body.splitlines() == [
        "warning: i1 is down; traffic a → b goes through c",
        "over: i2 is down; traffic a → b goes through c",
    ]
    assert [one.id for one in found.incidents] == ["i2", "i1"]
