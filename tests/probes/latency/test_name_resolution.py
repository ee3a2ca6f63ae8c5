"""Names: look-ups that hang hold nothing up, and of several addresses one that replies is probed."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from probes.latency import name_resolution
from probes.latency.engine import LatencyEngine
from probes.latency.name_resolution import AT_ONCE, Name, NameResolver
from probes.latency.prober import load
from probes.latency.reflector import Reflector
from probes.latency.targets import LatencyPeer, Route
from tests import servers
from tests.probes.latency.test_engine import FAST, Record, has_ipv6
from tests.waiting import running_task

LIMIT_S = 90.0
A, B = (socket.AF_INET, 0, 0, "", ("192.0.2.1", 1)), (socket.AF_INET, 0, 0, "", ("192.0.2.2", 1))


class Resolver:
    """Hangs until it is told to answer; counts what runs at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = threading.Event()
        self.most = 0
        self._running = 0
        self._lock = threading.Lock()

    def __call__(self, host: str, port: int) -> Sequence[tuple[Any, ...]]:
        del port
        with self._lock:
            self.asked.append(host)
            self._running += 1
            self.most = max(self.most, self._running)
        self.may_answer.wait(LIMIT_S)
        with self._lock:
            self._running -= 1
        return [A, B]


async def test_look_ups_that_hang_leave_the_loop_s_executor_free_and_are_one_a_name() -> None:
    """The MQTT client connects in that executor: it waited for 2 min 16 s."""
    resolver, answers = Resolver(), asyncio.Queue[tuple[Name, list[Route]]]()
    names = NameResolver(lambda name, choices: answers.put_nowait((name, choices)), resolver)
    many = [(f"site-{number}.invalid", 1) for number in range(2 * AT_ONCE)]
    names.watch([*many, ("192.0.2.9", 1)])
    task = asyncio.create_task(names.run(), name="names")
    try:
        async with asyncio.timeout(LIMIT_S):
            assert (await answers.get())[0] == ("192.0.2.9", 1)  # an address in figures needs no look-up
            while len(resolver.asked) < AT_ONCE:  # noqa: ASYNC110 - it sets no event
                await asyncio.sleep(0.01)
            assert await asyncio.get_running_loop().run_in_executor(None, lambda: "free") == "free"
            for name in many:
                names.doubt(name)
            names._due = dict.fromkeys(names._due, 0.0)  # as if a minute were over
            names.watch(many)
            await asyncio.sleep(0.05)
            assert len(resolver.asked) == AT_ONCE
            resolver.may_answer.set()
            found = dict([await answers.get() for _ in many])
        assert set(found) == set(many)
        assert found[many[0]] == [Route(socket.AF_INET, ("192.0.2.1", 1)), Route(socket.AF_INET, ("192.0.2.2", 1))]
        assert resolver.most == AT_ONCE
    finally:
        resolver.may_answer.set()
        task.cancel()
        await asyncio.wait([task])


async def test_the_last_known_address_is_probed_while_names_do_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_resolution, "AGAIN_S", 0.02)
    resolver, asked_again = Resolver(), threading.Event()
    reflector = Reflector(0, bind=["127.0.0.1"])

    def first_only(host: str, port: int) -> Sequence[tuple[Any, ...]]:
        if resolver.asked:
            asked_again.set()
            return resolver(host, port)
        resolver.asked.append(host)
        return [(socket.AF_INET, 0, 0, "", ("127.0.0.1", port))]

    record = Record()
    shell = LatencyEngine("a", load("stamp"), FAST, on_window=record.window, look_up=first_only)
    shell.set_peers([LatencyPeer("b", "b.invalid", reflector.port)], FAST)
    try:
        async with running_task(reflector.run()), running_task(shell.run()):
            await asyncio.to_thread(asked_again.wait, LIMIT_S)
            for _ in range(3):
                await record.row(dst="b", failure=None, address="127.0.0.1")
        assert len(resolver.asked) == 2
    finally:
        resolver.may_answer.set()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_of_two_families_the_one_that_replies_is_probed_and_named() -> None:
    reflector = Reflector(0, bind=["127.0.0.1"])
    record = Record()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as silent:
        silent.bind(("::1", reflector.port))
        shell = LatencyEngine("a", load("stamp"), FAST, on_window=record.window, look_up=_both_families)
        shell.set_peers([LatencyPeer("b", "b.invalid", reflector.port)], FAST)
        async with running_task(reflector.run()), running_task(shell.run()):
            await record.row(failure="no_reply", address="::1")
            for _ in range(3):
                await record.row(failure=None, address="127.0.0.1")
    rows = record.rows()
    assert [row.address for row in rows] == sorted((row.address or "" for row in rows), reverse=True)
    assert {row.address for row in rows if row.received} == {"127.0.0.1"}


def _both_families(host: str, port: int) -> Sequence[tuple[Any, ...]]:
    del host
    return [(socket.AF_INET6, 0, 0, "", ("::1", port, 0, 0)), (socket.AF_INET, 0, 0, "", ("127.0.0.1", port))]


async def test_an_address_that_replies_is_kept_while_it_is_among_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with several addresses comes in another order each time."""
    monkeypatch.setattr(name_resolution, "AGAIN_S", 0.02)
    orders, asked = [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]], []

    def rotating(host: str, port: int) -> Sequence[tuple[Any, ...]]:
        asked.append(host)
        return [(socket.AF_INET, 0, 0, "", (address, port)) for address in orders[(len(asked) - 1) % 2]]

    record = Record()
    reflector = Reflector(0, bind=["127.0.0.1"])
    shell = LatencyEngine("a", load("stamp"), FAST, on_window=record.window, look_up=rotating)
    shell.set_peers([LatencyPeer("b", "b.invalid", reflector.port)], FAST)
    async with running_task(reflector.run()), running_task(shell.run()):
        while len(asked) < 10:
            await record.row(dst="b")
    assert {(row.failure, row.address) for row in record.rows()} == {(None, "127.0.0.1")}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")
def test_a_broker_at_an_address_is_reached_while_dns_is_silent(tmp_path: Path) -> None:
    """In namespaces of its own, where a DNS server of ours first keeps silent and then answers."""
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    module = f"{sys.executable} -m {__package__}.silent_dns {tmp_path}"
    inside = f"ip link set lo up && mount --bind {resolv} /etc/resolv.conf && exec {module}"
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", inside],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        cwd=servers.__file__.rpartition("/tests/")[0],
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "connected while DNS was silent\nprobed when it answered\n",
        "",
    )
