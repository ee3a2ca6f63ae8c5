from __future__ import annotations

from pathlib import Path

import pytest

from linkweather.errors import OperatorError
from probes.throughput import iperf3_process as process
from tests import servers
from tests.probes.throughput import programs


async def test_the_installed_program_says_its_version() -> None:
    servers.require("iperf3")
    build = await process.installed()
    assert build is not None
    assert build.version >= (3, 0)


async def test_a_program_of_an_unknown_version_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.install_fault(tmp_path, "unknown version", monkeypatch)
    assert await process.installed() is None


async def test_a_program_that_does_not_say_its_version_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.install_fault(tmp_path, "hangs", monkeypatch)
    monkeypatch.setattr(process, "VERSION_LIMIT_S", 0.2)
    assert await process.installed() is None
    assert programs.children() == []


async def test_a_missing_program_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperatorError, match=r"^the program iperf3 is missing: install the package iperf3, or"):
        await process.installed()


async def test_what_the_program_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.install_fault(tmp_path, "has a child", monkeypatch)
    async with process.child((process.find(),), {}) as child:
        grandchild = int(await anext(process.lines(child)))
        assert programs.runs(grandchild)
    assert programs.children() == []
    servers.wait_until(lambda: not programs.runs(grandchild), "the grandchild is gone")


async def test_a_program_that_prints_without_end_has_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.install_fault(tmp_path, "flood", monkeypatch)
    assert await process.installed() is None


async def test_lines_come_whole_whatever_the_chunks_and_the_last_one_without_its_end(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("printf 'on'; sleep 0.05; printf 'e\\ntwo\\n\\nfour'")
    async with process.child(("sh", str(script)), {}) as child:
        assert [line async for line in process.lines(child)] == ["one", "two", "", "four"]


async def test_an_overlong_line_is_cut() -> None:
    async with process.child(("sh", "-c", "head -c 300000 /dev/zero; echo; echo end"), {}) as child:
        lengths = [len(line) async for line in process.lines(child)]
    assert max(lengths) <= process.LINE_CHARACTERS
    assert lengths[-2:] == [3, 0]
