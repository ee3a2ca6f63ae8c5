"""A lab's life: what it refuses, and that nothing stays of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from linkweather.errors import OperatorError
from linkweather.lab.control_socket import ask
from linkweather.lab.lab import Lab
from linkweather.lab.labfile import LabFile, LabSite
from linkweather.lab.protocol import LabEngineName, ShowLab
from tests import servers
from tests.lab.labs import as_root, run, triangle

HOLD = """
import asyncio, sys
from pathlib import Path
from linkweather.lab.lab import Lab
from tests.lab.labs import triangle

async def main():
    async with Lab(triangle(), data_dir=Path(sys.argv[1]), seed=1, engine=sys.argv[2]) as lab:
        inside = await asyncio.create_subprocess_exec(*lab.command("a", ["sleep", "300"]))
        print((await lab.state()).pid, inside.pid, flush=True)
        await asyncio.sleep(300)

asyncio.run(main())
"""
ENGINES = [pytest.param("relay", marks=as_root), "loopback"]


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True


def interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def network_namespaces() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.add(str((process / "ns/net").readlink()))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_stays_when_the_holder_is_killed(tmp_path: Path, engine: LabEngineName, number: signal.Signals) -> None:
    data_dir = tmp_path / "data"
    output = tmp_path / "output"
    with servers.running(sys.executable, "-c", HOLD, str(data_dir), engine, log=output) as holder:
        servers.wait_until(lambda: len(output.read_text().split()) == 2, "the lab runs")
        lab_pid, inside_pid = (int(word) for word in output.read_text().split())
        os.kill(holder.pid, number)
        holder.wait(timeout=10)
        servers.wait_until(lambda: ended(lab_pid), "the lab process ends")
        if engine == "relay":
            servers.wait_until(lambda: ended(inside_pid), "the command inside ends")
    assert list(data_dir.iterdir()) == []


@pytest.mark.parametrize("engine", ENGINES)
async def test_nothing_stays_after_an_exception(tmp_path: Path, engine: LabEngineName) -> None:
    before = interfaces()
    pids = []

    async def fail_inside() -> None:
        async with Lab(triangle(), data_dir=tmp_path, seed=1, engine=engine) as lab:
            pids.append((await lab.state()).pid)
            assert os.listdir(tmp_path) == ["lab.sock"]  # noqa: PTH208  # pathlib would block no less
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_inside()
    assert ended(pids[0])
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    assert interfaces() == before


async def test_loopback_gives_addresses_and_runs_commands_as_they_are(tmp_path: Path) -> None:
    async with Lab(triangle(), data_dir=tmp_path, seed=1, engine="loopback") as lab:
        assert not lab.emulated
        assert lab.addresses == {"a": "127.77.0.1", "b": "127.77.0.2", "c": "127.77.0.3"}
        assert lab.addresses6 == {}
        assert lab.command("a", ["true", "x"]) == ["true", "x"]
        with pytest.raises(OperatorError) as caught:
            await lab.change("a", "b", cut=True)
    assert str(caught.value) == "the link a → b cannot be changed: on loopback, links are not emulated"


Refused = Callable[[Lab], object]
REFUSALS: dict[str, Refused] = {
    "'x': no such site; the lab has a, b, c": lambda lab: lab.change("a", "x", cut=True),
    "link a → b: loss_ratio = 2: must be at most 1": lambda lab: lab.change("a", "b", loss_ratio=2),
    "link a → b: jitter_s = 1: must be at most delay_s, which is 0.01": lambda lab: lab.change("a", "b", jitter_s=1),
    "the lab has no link a → a": lambda lab: lab.change("a", "a", cut=True),
}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for network namespaces")
@pytest.mark.parametrize("sentence", REFUSALS)
async def test_impossible_change_is_refused_with_a_sentence(tmp_path: Path, sentence: str) -> None:
    async with Lab(triangle(), data_dir=tmp_path, seed=1, engine="relay") as lab:
        change = REFUSALS[sentence](lab)
        assert asyncio.iscoroutine(change)
        with pytest.raises(OperatorError) as caught:
            await change
        assert str(caught.value) == sentence


async def test_long_folder_name_is_no_obstacle(tmp_path: Path) -> None:
    data_dir = tmp_path / ("d" * 120)
    async with Lab(triangle(), data_dir=data_dir, seed=1, engine="loopback") as lab:
        assert (await lab.state()).engine == "loopback"


async def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="cannot be made: Not a directory"):
        async with Lab(triangle(), data_dir=tmp_path / "file" / "data", seed=1, engine="loopback"):
            pass


def test_folder_without_a_lab_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OperatorError) as caught:
        ask(tmp_path, ShowLab())
    assert str(caught.value) == f"no lab runs in {tmp_path}: start one with `linkweather demo`, or give its --data-dir"


SHOW_ENGINE = """
import asyncio, sys
from pathlib import Path
from linkweather.errors import OperatorError
from linkweather.lab.lab import Lab
from tests.lab.labs import triangle

async def main():
    try:
        async with Lab(triangle(), data_dir=Path(sys.argv[1]), seed=1, engine=(sys.argv[2:] or [None])[0]) as lab:
            print(lab.engine, lab.note)
    except OperatorError as error:
        print(error)

asyncio.run(main())
"""
NOT_PERMITTED = "network namespaces cannot be made: Operation not permitted\n"


def unprivileged() -> list[str]:
    """What takes from a program of root the right to make namespaces; an ordinary user has none."""
    return ["setpriv", "--bounding-set=-sys_admin"] if os.geteuid() == 0 else []


async def test_without_privileges_the_lab_falls_back_to_loopback_and_says_why(tmp_path: Path) -> None:
    status, output = await run([*unprivileged(), sys.executable, "-c", SHOW_ENGINE, str(tmp_path)])
    assert (status, output) == (0, f"loopback netem and relay cannot be used: {NOT_PERMITTED}")


async def test_forced_engine_that_does_not_work_is_refused(tmp_path: Path) -> None:
    status, output = await run([*unprivileged(), sys.executable, "-c", SHOW_ENGINE, str(tmp_path), "relay"])
    assert (status, output) == (0, f"relay cannot be used: {NOT_PERMITTED}")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for network namespaces")
async def test_root_gets_an_emulated_network_whatever_the_kernel(tmp_path: Path) -> None:
    sites = LabFile(sites={f"s{number}": LabSite() for number in range(8)})
    async with Lab(sites, data_dir=tmp_path, seed=1) as lab:
        assert lab.emulated
        own = network_namespaces()
        _, inside = await run(lab.command("s7", ["readlink", "/proc/self/ns/net"]))
        assert inside.strip() not in own
        _, addresses = await run(lab.command("s7", ["ip", "-brief", "address"]))
        assert "10.77.0.8/" in addresses
        assert "fd77::8/" in addresses


async def test_command_after_the_labs_end_fails_with_a_sentence() -> None:
    status, output = await run([sys.executable, "-m", "linkweather.lab.enter", "/proc/0/fd/7", "0", "--", "true"])
    assert (status, output) == (127, "Error: the lab of this site has ended\n")


def test_a_lab_that_cannot_be_asked_is_not_called_none(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "lab.sock"))
        with pytest.raises(OperatorError, match="cannot be asked: Protocol wrong type for socket"):
            ask(tmp_path, ShowLab())
