"""Small labs, and programs run in them."""

from __future__ import annotations

import asyncio
import os
import re
import statistics
from collections.abc import Sequence

import pytest

from linkweather import settings
from linkweather.lab.lab import Lab
from linkweather.lab.labfile import LabFile, shipped

as_root = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for network namespaces")]
_TIME = re.compile(r"time=([0-9.]+) ms")


def triangle() -> LabFile:
    return settings.load(shipped("labs/triangle.toml"), LabFile)


async def run(argv: Sequence[str]) -> tuple[int, str]:
    """Exit status and output (both streams) of a program."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def ping(lab: Lab, src: str, address: str, count: int = 20) -> list[float]:
    """RTTs in seconds, of the replies that came."""
    _, output = await run(lab.command(src, ["ping", "-n", "-i", "0.01", "-W", "1", "-c", str(count), address]))
    return [float(value) / 1e3 for value in _TIME.findall(output)]


async def rtt_s(lab: Lab, src: str, address: str) -> float:
    return statistics.median(await ping(lab, src, address))
