"""Faults are counted by place; the first of each place and type is logged with its traceback."""

from __future__ import annotations

import pytest

from linkweather.containment import contained, faults, note


def test_the_first_fault_of_a_kind_is_logged_with_its_traceback_and_all_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number in range(3):
        with contained("test of logging"):
            raise ValueError(f"number {number}")
    assert faults()["test of logging"] == 3
    (record,) = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "number 0"


def test_another_type_and_another_place_are_logged_as_well(caplog: pytest.LogCaptureFixture) -> None:
    note("one place", ValueError("a"))
    note("one place", KeyError("b"))
    note("other place", ValueError("c"))
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["a", "'b'", "c"]


def test_what_ends_the_process_is_not_contained() -> None:
    with pytest.raises(KeyboardInterrupt), contained("test of exits"):
        raise KeyboardInterrupt
    assert "test of exits" not in faults()
