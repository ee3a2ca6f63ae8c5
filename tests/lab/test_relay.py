"""The relay with real packets. Tolerances are wide: how exact it is, is measured by the bench."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from linkweather.errors import OperatorError
from linkweather.lab.lab import Lab
from tests.lab.labs import as_root, ping, rtt_s, run, triangle

pytestmark = as_root
LATE_S = 0.005


def relayed(tmp_path: Path) -> Lab:
    return Lab(triangle(), data_dir=tmp_path, seed=1, engine="relay")


async def test_rtt_is_twice_the_links_delay_over_ipv4_and_ipv6(tmp_path: Path) -> None:
    async with relayed(tmp_path) as lab:
        assert lab.emulated
        assert lab.engine == "relay"
        assert 0.020 <= await rtt_s(lab, "a", lab.addresses["b"]) < 0.020 + LATE_S
        assert 0.080 <= await rtt_s(lab, "c", lab.addresses6["a"]) < 0.080 + LATE_S


async def test_changed_delay_holds_for_the_next_packet_and_one_direction(tmp_path: Path) -> None:
    async with relayed(tmp_path) as lab:
        await lab.change("a", "b", delay_s=0.050)
        assert 0.060 <= await rtt_s(lab, "a", lab.addresses["b"]) < 0.060 + LATE_S
        await lab.change("a", "b", both=True, delay_s=0.001)
        assert 0.002 <= await rtt_s(lab, "a", lab.addresses["b"]) < 0.002 + LATE_S


async def test_cut_link_carries_nothing_until_restored_and_counts_what_it_dropped(tmp_path: Path) -> None:
    async with relayed(tmp_path) as lab:
        await lab.change("a", "b", cut=True)
        assert await ping(lab, "a", lab.addresses["b"], count=5) == []
        cut = {(link.src, link.dst): link for link in (await lab.state()).links}["a", "b"]
        assert cut.cut
        assert cut.dropped == {"cut": 5, "loss": 0, "queue": 0}
        await lab.change("a", "b", cut=False)
        assert len(await ping(lab, "a", lab.addresses["b"], count=5)) == 5


async def test_loss_of_one_is_total_and_of_half_is_partial(tmp_path: Path) -> None:
    async with relayed(tmp_path) as lab:
        await lab.change("a", "b", loss_ratio=0.5)
        received = len(await ping(lab, "a", lab.addresses["b"], count=100))
        # Binomial, n = 100, p = 0.5: 50 ± 5, and five times that for a margin.
        assert 25 < received < 75
        link = {(link.src, link.dst): link for link in (await lab.state()).links}["a", "b"]
        assert link.dropped["loss"] == 100 - received
        assert link.forwarded_packets == received


async def test_rate_of_the_link_is_what_tcp_gets(tmp_path: Path) -> None:
    async with relayed(tmp_path) as lab:
        server = await asyncio.create_subprocess_exec(
            *lab.command("b", ["iperf3", "-s", "-1", "--forceflush"]), stdout=asyncio.subprocess.PIPE
        )
        assert server.stdout is not None
        while b"listening" not in await server.stdout.readline():
            pass
        status, output = await run(
            lab.command("a", ["iperf3", "-c", lab.addresses["b"], "-t", "2", "-O", "1", "--json"])
        )
        await server.communicate()
        assert status == 0, output
        goodput_bps = json.loads(output)["end"]["sum_received"]["bits_per_second"]
        # 8948 octets of payload in a packet of 9000 leave 99.4 of 100 Mbit/s.
        assert 85e6 < goodput_bps < 101e6


async def test_packet_to_nowhere_is_counted(tmp_path: Path) -> None:
    lonely = triangle().model_copy(update={"links": triangle().links[:1]})
    async with Lab(lonely, data_dir=tmp_path, seed=1, engine="relay") as lab:
        await ping(lab, "a", "10.77.0.99", count=3)
        await ping(lab, "a", lab.addresses["c"], count=2)
        assert (await lab.state()).strays == {"no_link": 2, "unknown_destination": 3, "not_accepted": 0}


async def test_udp_gets_kernel_transmit_stamps(tmp_path: Path) -> None:
    script = (
        "import select, socket, sys\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        # SO_TIMESTAMPING: software stamps on transmission, with an id, without the packet
        "s.setsockopt(socket.SOL_SOCKET, 37, 2 | 8 | 16 | 128 | 2048)\n"
        "s.sendto(b'x' * 44, (sys.argv[1], 862))\n"
        "poll = select.poll(); poll.register(s, 0); assert poll.poll(5000)\n"
        "print([kind for _, kind, _ in s.recvmsg(1, 1024, socket.MSG_ERRQUEUE)[1]])\n"
    )
    async with relayed(tmp_path) as lab:
        python = lab.command("a", ["python3", "-c", script, lab.addresses["b"]])
        status, output = await run(python)
    assert status == 0, output
    assert 37 in json.loads(output)


async def test_two_labs_run_side_by_side(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with relayed(tmp_path / "one") as one, relayed(tmp_path / "two") as two:
        await one.change("a", "b", cut=True)
        assert await ping(one, "a", one.addresses["b"], count=2) == []
        assert len(await ping(two, "a", two.addresses["b"], count=2)) == 2


async def test_second_lab_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    async with relayed(tmp_path) as first:
        with pytest.raises(OperatorError) as caught:
            async with relayed(tmp_path):
                pass
        assert str(caught.value) == f"a lab runs in {tmp_path} already: stop it, or choose another folder"
        assert (await first.state()).engine == "relay"


async def test_socket_left_by_a_killed_lab_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "lab.sock"))
    async with relayed(tmp_path) as lab:
        assert (await lab.state()).engine == "relay"
