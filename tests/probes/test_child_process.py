from __future__ import annotations

from pathlib import Path

import pytest

from probes import child_process as process
from tests import servers
from tests.probes.throughput import programs


async def test_what_the_program_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.install_fault(tmp_path, "has a child", monkeypatch)
    async with process.child(("iperf3",), {}) as child:
        grandchild = int(await anext(process.lines(child)))
        assert programs.runs(grandchild)
    assert programs.children() == []
    servers.wait_until(lambda: not programs.runs(grandchild), "the grandchild is gone")


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
