from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


_CAP_NET_RAW = 1 << 13
_ASK = """
import asyncio
from probes.child_process import child, lines

async def main():
    for raw in (False, True):
        async with child(("cat", "/proc/self/status"), {}, raw=raw) as process:
            found = [line.split() async for line in lines(process)]
            print(" ".join(line[1] for line in found if line and line[0] in ("CapPrm:", "CapEff:", "CapAmb:")))

asyncio.run(main())
"""
_AS_A_UNIT = (
    "setpriv --reuid 65534 --clear-groups --inh-caps +net_raw --ambient-caps +net_raw --bounding-set -all,+net_raw"
)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, to give capabilities")
@pytest.mark.parametrize("before", [(), tuple(_AS_A_UNIT.split())], ids=["root", "as the unit starts it"])
def test_a_program_gets_the_right_to_raw_sockets_only_where_it_is_asked_for(before: tuple[str, ...]) -> None:
    if before and subprocess.run([*before, sys.executable, "-c", "import probes"], check=False).returncode:
        pytest.skip("no other user can read this checkout")
    asked = subprocess.run([*before, sys.executable, "-c", _ASK], check=True, capture_output=True, text=True).stdout
    without, with_it = ([int(mask, 16) & _CAP_NET_RAW for mask in line.split()] for line in asked.splitlines())
    assert without == [0, 0, 0]
    assert with_it[:2] == [_CAP_NET_RAW] * 2
