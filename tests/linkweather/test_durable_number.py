"""A durable number survives what it is there for, and a damaged one is not believed."""

from __future__ import annotations

from pathlib import Path

from linkweather.durable_number import DurableNumber


def test_a_number_is_there_again_in_a_file_that_keeps_its_size(tmp_path: Path) -> None:
    first = DurableNumber(tmp_path / "number")
    assert first.read() is None
    first.write(2**63, sync=True)
    first.write(7, sync=False)
    first.close()
    assert (tmp_path / "number").stat().st_size == 12
    second = DurableNumber(tmp_path / "number")
    assert second.read() == 7
    second.close()


def test_a_damaged_number_is_none(tmp_path: Path) -> None:
    path = tmp_path / "number"
    number = DurableNumber(path)
    number.write(7, sync=True)
    path.write_bytes(b"\x08" + path.read_bytes()[1:])
    assert number.read() is None
    number.close()
