"""Losses, duplicates, reordering and lateness as the lab makes them and as our row tells them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from linkweather.lab.lab import Lab
from linkweather.lab.protocol import LabLinkState
from tests.lab.labs import as_root, run, triangle

pytestmark = as_root
PROGRAM = (sys.executable, "-c", "from linkweather.cli.root import main; main()")
TIMEOUT_S = 3.0  # a busy machine holds up the lab, and with it every packet, for tenths of a second


@contextlib.asynccontextmanager
async def reflecting(tmp_path: Path, *options: str) -> AsyncIterator[Lab]:
    """The triangle, whose a and b are 10 ms apart, with a reflector at b."""
    async with Lab(triangle(), data_dir=tmp_path, seed=7, engine="relay") as lab:
        process = await asyncio.create_subprocess_exec(
            *lab.command("b", [*PROGRAM, "reflector", *options]), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(90):
                assert (await process.stdout.readline()).startswith(b"Reflector at ")
            yield lab
        finally:
            process.kill()
            await process.communicate()


async def measured(lab: Lab, count: int = 400, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """What `linkweather test` says at a of b; a probe every 10 ms."""
    options = ("--latency", "--method", "stamp", "--interval", "0.01", "--timeout", str(timeout_s), "--json")
    _, output = await run(lab.command("a", [*PROGRAM, "test", lab.addresses["b"], *options, "--count", str(count)]))
    latency: dict[str, Any] = json.loads(output)["latency"]
    return latency


async def forwarded(lab: Lab, packets: int) -> None:
    """Wait until the lab has forwarded so many from a to b."""
    while (await links(lab))[0].forwarded_packets < packets:  # noqa: ASYNC110 - the lab sends no events
        await asyncio.sleep(0.01)


async def links(lab: Lab) -> tuple[LabLinkState, LabLinkState]:
    """The link there and the link back, with what they did."""
    found = {(link.src, link.dst): link for link in (await lab.state()).links}
    return found["a", "b"], found["b", "a"]


async def test_losses_of_each_direction_are_those_that_the_lab_made(tmp_path: Path) -> None:
    async with reflecting(tmp_path) as lab:
        await lab.change("a", "b", loss_ratio=0.1)
        await lab.change("b", "a", loss_ratio=0.05)
        row = await measured(lab)
        there, back = await links(lab)
    assert there.dropped["loss"] > 20
    assert back.dropped["loss"] > 8
    # After the last reply nothing says which way a probe went.
    uncounted = sum(1 for _ in itertools.takewhile(lambda rtt_s: rtt_s is None, reversed(row["rtts_s"])))
    assert 0 <= there.dropped["loss"] - row["lost_forward"] <= uncounted
    assert 0 <= back.dropped["loss"] - row["lost_back"] <= uncounted
    assert row["sent"] - row["received"] == row["lost_forward"] + row["lost_back"] + uncounted
    assert (row["late"], row["duplicated"], row["reordered"]) == (0, 0, 0)


async def test_duplicates_of_either_direction_are_counted(tmp_path: Path) -> None:
    async with reflecting(tmp_path) as lab:
        for src, dst in (("a", "b"), ("b", "a")):
            await lab.change(src, dst, duplicate_ratio=0.1)
        measuring = asyncio.create_task(measured(lab), name="test")
        await forwarded(lab, 300)
        # The test ends with its last reply: a second copy of that one may come too late to be counted.
        for src, dst in (("a", "b"), ("b", "a")):
            await lab.change(src, dst, duplicate_ratio=0.0)
        row = await measuring
        there, back = await links(lab)
    assert there.duplicated_packets > 20
    assert row["duplicated"] == there.duplicated_packets + back.duplicated_packets
    assert (row["received"], row["lost_forward"], row["lost_back"], row["reordered"]) == (400, 0, 0, 0)


async def test_probes_that_were_overtaken_are_counted_as_reordered(tmp_path: Path) -> None:
    async with reflecting(tmp_path) as lab:
        # Who skips 100 ms overtakes up to ten probes, 10 ms apart.
        await lab.change("a", "b", delay_s=0.1, reorder_ratio=0.05)
        row = await measured(lab)
        there, _ = await links(lab)
    assert there.reordered_packets > 8
    assert there.reordered_packets < row["reordered"] <= 10 * there.reordered_packets
    assert (row["received"], row["lost_forward"], row["lost_back"], row["duplicated"]) == (400, 0, 0, 0)


async def test_nearly_all_losses_keep_their_direction_where_probes_are_reordered(tmp_path: Path) -> None:
    async with reflecting(tmp_path) as lab:
        await lab.change("a", "b", delay_s=0.1, reorder_ratio=0.05, loss_ratio=0.05)
        await lab.change("b", "a", loss_ratio=0.05)
        row = await measured(lab)
        there, back = await links(lab)
    lost = row["sent"] - row["received"]
    assert lost == there.dropped["loss"] + back.dropped["loss"]
    # Simulated over 80,000 probes: 3 to 6 % have the wrong direction, and as many none.
    assert row["lost_forward"] == pytest.approx(there.dropped["loss"], abs=lost / 4)
    assert row["lost_back"] == pytest.approx(back.dropped["loss"], abs=lost / 4)


async def test_replies_past_the_timeout_are_late_and_the_row_says_by_how_much(tmp_path: Path) -> None:
    async with reflecting(tmp_path) as lab:
        # There and back take 10 ms + 500 ms, 210 ms more than the timeout. The last replies come after the test.
        await lab.change("b", "a", delay_s=0.5)
        row = await measured(lab, count=100, timeout_s=0.3)
    assert (row["received"], row["failure"]) == (0, "late")
    assert 60 <= row["late"] < 100
    assert 0.21 <= row["late_max_s"] < 0.4


async def test_a_cut_is_an_outage_with_a_start_and_an_end(tmp_path: Path) -> None:
    async with reflecting(tmp_path) as lab:
        measuring = asyncio.create_task(measured(lab), name="test")
        while (await links(lab))[1].forwarded_packets < 50:  # noqa: ASYNC110 - the lab sends no events
            await asyncio.sleep(0.01)
        await lab.change("a", "b", cut=True)
        while (await links(lab))[0].dropped["cut"] < 60:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await lab.change("a", "b", cut=False)
        row = await measuring
        there, _ = await links(lab)
    (outage,) = row["outages"]
    assert outage["lost"] == row["lost_forward"] == there.dropped["cut"]
    assert outage["end"] > outage["start"]
    assert row["lost_back"] == 0
