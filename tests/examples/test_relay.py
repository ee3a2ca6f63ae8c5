"""relay.py in a lab: faster through the relay that is decided, and whole though its leg is cut meanwhile."""

from __future__ import annotations

import contextlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkweather.lab.control_socket import ask
from linkweather.lab.protocol import ChangeLink
from tests import servers
from tests.demo import hubs
from tests.documents import ROOT

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for network namespaces"),
]

PROGRAM = str(ROOT / "examples" / "relay.py")
SIZE_BYTES = 30_000_000
SITES = ("a", "b", "c", "d")
# From a to c direct has the least delay; b carries four times, d twice as much.
LINKS = (
    ("a", "c", 30e6),
    ("a", "b", 120e6),
    ("b", "c", 120e6),
    ("a", "d", 60e6),
    ("d", "c", 60e6),
    ("b", "d", 60e6),
)
HEAD = """\
name = "square"
[latency]
report_interval_s = 2.0
[throughput]
every_s = 0.0
slot_s = 2.0
max_duration_s = 1.2
[path]
enabled = false
"""


def _lab(folder: Path) -> Path:
    links = [
        f'[[links]]\nsrc = "{src}"\ndst = "{dst}"\ndelay_s = 0.010\nrate_bps = {rate_bps}\nboth = true\n'
        for src, dst, rate_bps in LINKS
    ]
    file = folder / "square.toml"
    file.write_text("".join([HEAD, *(f"[sites.{site}]\n" for site in SITES), *links]))
    return file


def _in(site: str, *arguments: str) -> list[str]:
    return [*hubs.PROGRAM, "lab", "exec", site, "--", sys.executable, PROGRAM, *arguments]


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[None]:
    """relay.py serves at every site but the source, each with a folder of its own."""
    with contextlib.ExitStack() as stack:
        for site in SITES[1:]:
            (folder / site).mkdir()
            command = _in(site, "serve", "--folder", str(folder / site))
            process = stack.enter_context(subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "receiving at port 8640\n"
        yield


def _send(folder: Path, file: Path, objective: str) -> subprocess.Popen[str]:
    data = folder / "demo-data"
    where = ("--site", "a", "--to", "c", "--mesh", str(data / "mesh.toml"), "--broker", f"unix://{data / 'mqtt'}")
    command = _in("a", "send", str(file), *where, "--objective", objective, "--within", "100")
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


def _copied(folder: Path, file: Path, objective: str) -> tuple[str, float]:
    """The path that a copy took, and its goodput in Mbit/s."""
    out, _ = _send(folder, file, objective).communicate(timeout=110)
    assert (folder / "c" / file.name).read_bytes() == file.read_bytes()
    (folder / "c" / file.name).unlink()
    rate = re.search(r" (\d+) Mbit/s$", out)
    assert rate is not None, out
    return out.splitlines()[0], float(rate[1])


def test_a_copy_is_faster_through_the_relay_and_moves_when_its_leg_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "big.bin"
    file.write_bytes(random.Random(1).randbytes(SIZE_BYTES))
    with hubs.running(tmp_path, "--lab", str(_lab(tmp_path))) as (client, _):
        hubs.wait_for_path(client, "a", "b", "c", objective="goodput")
        hubs.wait_for_path(client, "a", "c")
        with _serving(tmp_path):
            direct, relayed = (_copied(tmp_path, file, objective) for objective in ("latency", "goodput"))
            assert (direct[0], relayed[0]) == ("a → c", "a → b → c")
            assert relayed[1] > 1.3 * direct[1]

            sending = _send(tmp_path, file, "goodput")
            part = tmp_path / "c" / "big.bin.part"
            servers.wait_until(lambda: part.exists() and part.stat().st_size > 0, "octets arrive")
            ask(tmp_path / "demo-data", ChangeLink(src="a", dst="b", both=True, cut=True))
            out, _ = sending.communicate(timeout=110)
    assert sending.returncode == 0, out
    paths = [line for line in out.splitlines() if line.startswith("a →")]
    assert paths[0] == "a → b → c"
    assert "b" not in paths[-1]
    assert (tmp_path / "c" / "big.bin").read_bytes() == file.read_bytes()
