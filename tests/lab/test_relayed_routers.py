"""A lab with routers, seen from inside by the kernel's own tools."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from linkweather import settings
from linkweather.errors import OperatorError
from linkweather.lab.lab import Lab
from linkweather.lab.labfile import LabFile, shipped
from tests.lab.labs import as_root, rtt_s, run, triangle

pytestmark = as_root
LATE_S = 0.005
# ping's errors stay in the error queue of its socket; this prints who answers an echo with too small a TTL.
_FROM = re.compile(r"From (\S+) icmp_seq=\d+ Time to live exceeded")


def routed(tmp_path: Path) -> Lab:
    return Lab(settings.load(shipped("labs/routers.toml"), LabFile), data_dir=tmp_path, seed=1)


async def who_answers(lab: Lab, ttl: int) -> list[str]:
    _, output = await run(lab.command("a", ["ping", "-n", "-c", "1", "-W", "1", "-t", str(ttl), lab.addresses["b"]]))
    return _FROM.findall(output)


async def test_lab_with_routers_takes_the_relay_and_says_why(tmp_path: Path) -> None:
    async with routed(tmp_path) as lab:
        assert lab.engine == "relay"
        assert lab.note == "netem cannot be used: routers need the relay engine"


async def test_netem_is_refused_for_routers(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="netem cannot be used: routers need the relay engine"):
        async with Lab(settings.load(shipped("labs/routers.toml"), LabFile), data_dir=tmp_path, seed=1, engine="netem"):
            pass


async def test_routers_answer_in_their_own_name_until_the_way_changes(tmp_path: Path) -> None:
    async with routed(tmp_path) as lab:
        assert await who_answers(lab, 1) == ["10.78.0.1"]
        assert await who_answers(lab, 3) == ["10.78.0.4"]
        state = await lab.change("a", "b", via=["r4", "r5"])
        assert {(link.src, link.dst): link.via for link in state.links} == {
            ("a", "b"): ("r4", "r5"),
            ("b", "a"): ("r4", "r2/r3", "r1"),
        }
        assert await who_answers(lab, 1) == ["10.78.0.4"]
        assert await who_answers(lab, 2) == []  # r5 is silent
        link = next(link for link in (await lab.state()).links if link.src == "a")
        assert link.dropped["router"] == 4
        assert link.forwarded_packets == 0


async def test_routers_add_no_delay_and_may_be_removed(tmp_path: Path) -> None:
    async with routed(tmp_path) as lab:
        assert 0.040 <= await rtt_s(lab, "a", lab.addresses["b"]) < 0.040 + LATE_S
        await lab.change("a", "b", both=True, via=[])
        assert await who_answers(lab, 1) == []
        assert 0.040 <= await rtt_s(lab, "a", lab.addresses["b"]) < 0.040 + LATE_S


async def test_router_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with routed(tmp_path) as lab:
        with pytest.raises(OperatorError) as caught:
            await lab.change("a", "b", via=["r1/r9"])
        assert str(caught.value) == "'r9': no such router; the lab has r1, r2, r3, r4, r5"
    async with Lab(triangle(), data_dir=tmp_path, seed=1, engine="relay") as lab:
        with pytest.raises(OperatorError) as caught:
            await lab.change("a", "b", via=["r1"])
        assert str(caught.value) == "'r1': no such router; the lab has none"


async def test_way_is_changed_and_shown_by_command(tmp_path: Path) -> None:
    async with routed(tmp_path) as lab:
        command = [sys.executable, "-m", "linkweather", "lab", "--data-dir", str(tmp_path)]
        status, output = await run([*command, "link", "a", "b", "--via", "r1,r5,r4"])
        assert status == 0, output
        assert "a → b via r1, r5, r4" in output
        assert [len(await who_answers(lab, ttl)) for ttl in (1, 2, 3)] == [1, 0, 1]
        _, output = await run([*command, "show"])
        assert "routers r1 10.78.0.1, r2 10.78.0.2" in output
        assert await run([*command, "link", "a", "b", "--via", "r7"]) == (
            2,
            "Error: 'r7': no such router; the lab has r1, r2, r3, r4, r5\n",
        )
