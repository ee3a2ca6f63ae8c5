"""relay.py in the demo's lab: faster through the relay that is decided, and whole though its leg is cut meanwhile."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkweather.client import Client
from tests import servers
from tests.demo import hubs
from tests.documents import ROOT

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for network namespaces"),
]

PROGRAM = str(ROOT / "examples" / "relay.py")
SIZE_BYTES = 30_000_000


def _in(site: str, *arguments: str) -> list[str]:
    return [*hubs.PROGRAM, "lab", "exec", site, "--", sys.executable, PROGRAM, *arguments]


@contextlib.contextmanager
def _serving(folder: Path, *sites: str) -> Iterator[None]:
    """relay.py serves at these sites, each with a folder of its own."""
    with contextlib.ExitStack() as stack:
        for site in sites:
            (folder / site).mkdir()
            process = stack.enter_context(
                subprocess.Popen(_in(site, "serve", "--folder", str(folder / site)), cwd=folder)
            )
            stack.callback(process.kill)
        yield


def _send(folder: Path, file: Path) -> subprocess.Popen[str]:
    data = folder / "demo-data"
    where = ("--site", "yd", "--to", "nx", "--mesh", str(data / "mesh.toml"), "--broker", f"unix://{data / 'mqtt'}")
    command = _in("yd", "send", str(file), *where, "--within", "100")
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


def test_a_copy_goes_through_the_relay_and_moves_when_its_leg_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "big.bin"
    file.write_bytes(random.Random(1).randbytes(SIZE_BYTES))
    with hubs.running(tmp_path) as (client, linkweather), _serving(tmp_path, "yd", "bj", "nx", "nm", "gs", "cc"):
        hubs.wait_for_path(client, "yd", "bj", "nx", objective="goodput")
        started = time.monotonic()
        out, _ = _send(tmp_path, file).communicate(timeout=110)
        took_s = time.monotonic() - started
        assert "yd → bj → nx" in out
        assert (tmp_path / "nx" / "big.bin").read_bytes() == file.read_bytes()
        direct_bps = _measured(client)
        assert 8 * SIZE_BYTES / took_s > direct_bps
        (tmp_path / "nx" / "big.bin").unlink()
        sending = _send(tmp_path, file)
        part = tmp_path / "nx" / "big.bin.part"
        servers.wait_until(lambda: part.exists() and part.stat().st_size > 0, "octets arrive")
        linkweather("lab", "link", "yd", "bj", "--cut", "--both")
        out, _ = sending.communicate(timeout=110)
        assert sending.returncode == 0
    assert out.splitlines()[0] == "yd → bj → nx"
    assert len([line for line in out.splitlines() if line.startswith("yd →") and "bj" not in line]) >= 1
    assert (tmp_path / "nx" / "big.bin").read_bytes() == file.read_bytes()


def _measured(client: Client) -> float:
    """What the direct link carries, as measured."""
    link = client.link("yd", "nx")
    assert link.goodput_bps is not None
    return link.goodput_bps
