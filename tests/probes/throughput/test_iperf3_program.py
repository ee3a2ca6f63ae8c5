from __future__ import annotations

from pathlib import Path

import pytest

from linkweather.errors import OperatorError
from probes.throughput import iperf3_program as program
from tests import servers
from tests.probes.throughput import programs


async def test_the_installed_program_says_its_version() -> None:
    servers.require("iperf3")
    build = await program.installed()
    assert build is not None
    assert build.version >= (3, 0)


async def test_a_program_of_an_unknown_version_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.install_fault(tmp_path, "unknown version", monkeypatch)
    assert await program.installed() is None


async def test_a_program_that_does_not_say_its_version_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.install_fault(tmp_path, "hangs", monkeypatch)
    monkeypatch.setattr(program, "VERSION_LIMIT_S", 0.2)
    assert await program.installed() is None
    assert programs.children() == []


async def test_a_missing_program_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperatorError, match=r"^the program iperf3 is missing: install the package iperf3, or"):
        await program.installed()


async def test_a_program_that_prints_without_end_has_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.install_fault(tmp_path, "flood", monkeypatch)
    assert await program.installed() is None
