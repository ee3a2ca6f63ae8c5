"""`linkweather lab`, as its user runs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from linkweather.lab.lab import Lab
from tests.lab.labs import as_root, run, triangle

pytestmark = as_root


async def command(data_dir: Path, *arguments: str) -> tuple[int, str]:
    program: Sequence[str] = [sys.executable, "-c", "from linkweather.cli.root import main; main()"]
    return await run([*program, "lab", "--data-dir", str(data_dir), *arguments])


async def test_link_is_changed_and_shown(tmp_path: Path) -> None:
    async with Lab(triangle(), data_dir=tmp_path, seed=1, engine="relay"):
        status, output = await command(
            tmp_path, "link", "a", "b", "--delay", "50ms", "--loss", "10%", "--rate", "80M", "--cut", "--both"
        )
        more = await command(tmp_path, "link", "a", "b", "--duplicate", "2%", "--reorder", "0.3")
        assert more[0] == 0, more[1]
        assert status == 0, output
        assert "a → b" in output
        assert "b → a" in output
        assert "a → c" not in output
        status, output = await command(tmp_path, "show", "--json")
    assert status == 0, output
    shown = {(link["src"], link["dst"]): link for link in json.loads(output)["links"]}
    for pair in (("a", "b"), ("b", "a")):
        link = shown[pair]
        assert (link["delay_s"], link["loss_ratio"], link["rate_bps"], link["cut"]) == (0.05, 0.1, 80e6, True)
    assert (shown["a", "b"]["duplicate_ratio"], shown["a", "b"]["reorder_ratio"]) == (0.02, 0.3)
    assert shown["b", "a"]["duplicate_ratio"] == 0
    assert shown["a", "c"]["cut"] is False


async def test_show_is_a_table_with_a_row_for_each_link(tmp_path: Path) -> None:
    async with Lab(triangle(), data_dir=tmp_path, seed=1, engine="relay"):
        status, output = await command(tmp_path, "show")
    assert status == 0
    assert output.startswith("engine relay\n")
    assert output.count("→") == 6


async def test_no_heading_is_cut_on_a_narrow_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    async with Lab(triangle(), data_dir=tmp_path, seed=1, engine="relay"):
        _, output = await command(tmp_path, "show")
    headings = next(line for line in output.splitlines() if line.startswith("link"))
    wanted = "link state delay ms jitter ms Mbit/s loss % queue ms packets MB dropped"
    assert headings.split() == wanted.split()


async def test_command_runs_in_the_sites_network_with_its_own_exit_status(tmp_path: Path) -> None:
    async with Lab(triangle(), data_dir=tmp_path, seed=1, engine="relay") as lab:
        status, output = await command(tmp_path, "exec", "b", "--", "ip", "-brief", "address")
        assert status == 0
        assert lab.addresses["b"] in output
        assert (await command(tmp_path, "exec", "b", "sh", "-c", "exit 7"))[0] == 7


async def test_mistakes_are_one_sentence_and_exit_2(tmp_path: Path) -> None:
    async with Lab(triangle(), data_dir=tmp_path, seed=1, engine="relay"):
        for arguments, sentence in {
            ("link", "a", "x"): "'x': no such site; the lab has a, b, c",
            ("link", "a", "a"): "the lab has no link a → a",
            ("link", "a", "b", "--delay", "soon"): "--delay 'soon': must be a duration such as 50ms, 60s or 5min",
            ("link", "a", "b", "--loss", "2"): "link a → b: loss_ratio = 2.0: must be at most 1",
            ("exec", "x", "true"): "'x': no such site; the lab has a, b, c",
            ("exec", "a", "no-such-program"): "no-such-program: cannot be run: No such file or directory",
        }.items():
            assert await command(tmp_path, *arguments) == (2, f"Error: {sentence}\n")


async def test_no_lab_in_the_folder_is_a_sentence(tmp_path: Path) -> None:
    status, output = await command(tmp_path, "show")
    assert status == 2
    assert output.startswith(f"Error: no lab runs in {tmp_path}")
    assert (await command(tmp_path, "exec", "a", "--"))[0] == 2
