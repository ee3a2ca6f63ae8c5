"""Sender and reflector on real sockets of loopback."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import socket
import statistics
import threading
import time
from datetime import datetime

import pytest

from linkweather.errors import OperatorError
from linkweather.mesh import LatencyTests
from linkweather.wire import LatencyRow
from probes.latency import kernel_timestamps
from probes.latency.engine import LatencyEngine
from probes.latency.prober import load
from probes.latency.reflector import Reflector
from probes.latency.session import ProbeOutcome
from probes.latency.stamp_packet import StampRequest, decode_reply, encode_request
from probes.latency.targets import LatencyPeer
from tests import servers
from tests.waiting import running_task

KEY = bytes(range(32))
FAST = LatencyTests(interval_s=0.01, timeout_s=0.3, report_interval_s=0.25)


class Record:
    """Rows and samples, and what to await."""

    def __init__(self) -> None:
        self.windows: list[tuple[datetime, list[LatencyRow]]] = []
        self.samples: list[ProbeOutcome] = []
        self._more = asyncio.Event()

    def window(self, at: datetime, rows: list[LatencyRow]) -> None:
        self.windows.append((at, rows))
        self._more.set()

    def rows(self, dst: str = "b") -> list[LatencyRow]:
        return [row for _, rows in self.windows for row in rows if row.dst == dst]

    async def row(self, **fields: object) -> LatencyRow:
        """The next row from now on with these fields."""
        seen = len(self.windows)
        async with asyncio.timeout(servers.START_LIMIT_S):
            while True:
                for _, rows in self.windows[seen:]:
                    for row in rows:
                        if all(getattr(row, name) == value for name, value in fields.items()):
                            return row
                seen = len(self.windows)
                self._more.clear()
                await self._more.wait()


def sender(
    record: Record, *, tests: LatencyTests = FAST, key: bytes | None = None, count: int | None = None
) -> LatencyEngine:
    return LatencyEngine(
        "a",
        load("stamp"),
        tests,
        on_window=record.window,
        on_sample=record.samples.append,
        key=key,
        count=count,
        rng=random.Random(1),
    )


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as trial:
        trial.bind(("::1", 0))
        return True
    return False


@pytest.mark.parametrize("stateless", [False, True])
@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_every_probe_is_answered_with_kernel_stamps(host: str, key: bytes | None, *, stateless: bool) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    record = Record()
    tests = FAST.model_copy(update={"authenticated": key is not None})
    reflector = Reflector(0, key=key, stateless=stateless)
    shell = sender(record, tests=tests, key=key, count=40)
    shell.set_peers([LatencyPeer("b", host, reflector.port)], tests)
    async with running_task(reflector.run()):
        await asyncio.wait_for(shell.run(), 90)
    assert reflector.answered == 40
    assert not reflector.dropped
    assert not shell.counters
    assert [sample.outcome for sample in record.samples] == ["received"] * 40
    assert {sample.source for sample in record.samples} == {"kernel"}
    assert sum(row.received for row in record.rows()) == sum(row.sent for row in record.rows()) == 40
    assert all(0 < (row.rtt_min_s or 0) < 0.1 and row.timestamp == "kernel" for row in record.rows() if row.received)


async def test_windows_end_at_multiples_and_carry_every_peer() -> None:
    record = Record()
    reflector = Reflector(0, bind=["127.0.0.1"])
    shell = sender(record)
    peers = [
        LatencyPeer("b", "127.0.0.1", reflector.port),
        LatencyPeer("c", "127.0.0.2", servers.free_port(socket.SOCK_DGRAM)),
    ]
    shell.set_peers([*peers, LatencyPeer("d", "no.such.name.invalid", 1)], FAST)
    async with running_task(reflector.run()), running_task(shell.run()):
        await record.row(dst="b")
        await record.row(dst="b")
    at, rows = record.windows[-1]
    assert at.timestamp() % 0.25 == 0
    assert [(row.dst, row.failure) for row in rows] == [("b", None), ("c", "refused"), ("d", "unresolved")]
    assert rows[1].sent > 0
    assert rows[2].sent == 0


async def test_a_tick_that_takes_long_gives_no_two_windows_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record()
    reflector = Reflector(0, bind=["127.0.0.1"])
    shell = sender(record)
    shell.set_peers([LatencyPeer("b", "127.0.0.1", reflector.port)], FAST)
    drain, held_up = shell._transport.drain, iter([True])

    def slow(*, all_of_it: bool) -> None:
        if next(held_up, False):  # the first tick, which opens the first window: a fifth of an interval and more
            time.sleep(0.06)
        drain(all_of_it=all_of_it)

    monkeypatch.setattr(shell._transport, "drain", slow)
    async with running_task(reflector.run()), running_task(shell.run()):
        for _ in range(3):
            await record.row(dst="b")
    times = [at for at, _ in record.windows]
    assert len(set(times)) == len(times) >= 3


async def test_a_peer_may_start_late_die_and_return() -> None:
    record = Record()
    port = servers.free_port(socket.SOCK_DGRAM)
    shell = sender(record)
    shell.set_peers([LatencyPeer("b", "127.0.0.1", port)], FAST)
    async with running_task(shell.run()):
        await record.row(failure="refused")
        for _ in range(2):
            async with running_task(Reflector(port, bind=["127.0.0.1"]).run()):
                await record.row(failure=None, lost_forward=0)
            await record.row(failure="refused")


async def test_a_wrong_key_is_silence_and_counted() -> None:
    record = Record()
    tests = FAST.model_copy(update={"authenticated": True})
    reflector = Reflector(0, bind=["127.0.0.1"], key=bytes(32))
    shell = sender(record, tests=tests, key=KEY, count=5)
    shell.set_peers([LatencyPeer("b", "127.0.0.1", reflector.port)], tests)
    async with running_task(reflector.run()):
        await asyncio.wait_for(shell.run(), 90)
    assert reflector.dropped == {"bad_hmac": 5}
    assert {row.failure for row in record.rows()} == {"no_reply"}


async def test_an_unchanged_peer_keeps_its_session_and_a_removed_one_holds_nothing_up() -> None:
    record = Record()
    reflector = Reflector(0, bind=["127.0.0.1"])
    shell = sender(record)
    b, c = LatencyPeer("b", "127.0.0.1", reflector.port), LatencyPeer("c", "192.0.2.1", 1)
    shell.set_peers([b, c], FAST)
    async with running_task(reflector.run()), running_task(shell.run()):
        await record.row(dst="b")
        before = record.samples[-1].sequence
        slower = FAST.model_copy(update={"interval_s": 0.02})
        shell.set_peers([b, LatencyPeer("d", "127.0.0.1", reflector.port)], slower)
        shell.mark_loaded("d")
        await record.row(dst="d", failure=None, during_throughput=True)
        shell.mark_loaded(None)
        await record.row(dst="d", failure=None, during_throughput=False)
    assert not any(row.during_throughput for row in record.rows("b"))
    sequences = [sample.sequence for sample in record.samples if sample.site == "b"]
    assert sequences == sorted(sequences)
    assert sequences[-1] > before
    assert record.windows[-1][1][-1].dst == "d"


async def test_missed_slots_are_not_caught_up() -> None:
    record = Record()
    reflector = Reflector(0, bind=["127.0.0.1"])
    shell = sender(record)
    shell.set_peers([LatencyPeer("b", "127.0.0.1", reflector.port)], FAST)
    async with running_task(reflector.run()), running_task(shell.run()):
        await record.row(dst="b")
        before = reflector.answered
        time.sleep(1)  # noqa: ASYNC251 - the blocked loop is the point: 100 slots pass
        await record.row(dst="b")
        assert reflector.answered - before < 60  # at most two windows of 25


async def test_a_blocked_loop_changes_no_kernel_rtt() -> None:
    medians = {}
    record = Record()
    reflector = Reflector(0, bind=["127.0.0.1"])
    shell = sender(record)
    shell.set_peers([LatencyPeer("b", "127.0.0.1", reflector.port)], FAST)
    async with running_task(reflector.run()), running_task(shell.run()):
        for blocked_s in (0.0, 0.003):
            record.samples.clear()
            while len(record.samples) < 100:
                time.sleep(blocked_s)  # noqa: ASYNC251 - busy for 3 ms of every 20
                await asyncio.sleep(0.02 - blocked_s)
            medians[blocked_s] = statistics.median(sample.rtt_s or 1 for sample in record.samples)
    assert {sample.source for sample in record.samples} == {"kernel"}
    assert medians[0.003] < 5 * medians[0.0]  # by our own clock it would be about a hundred times


async def test_a_blocked_loop_takes_no_reply_for_lost() -> None:
    """More replies wait than are read at once, and their timeout has passed when the loop is free again."""
    record = Record()
    reflector = Reflector(0, bind=["127.0.0.1"])
    done = threading.Event()
    answering = threading.Thread(target=asyncio.run, args=(_answer_until(done, reflector),))
    answering.start()
    shell = sender(record, tests=FAST.model_copy(update={"interval_s": 0.2}))
    shell.set_peers([LatencyPeer(f"p{number}", "127.0.0.1", reflector.port) for number in range(200)], FAST)
    try:
        async with running_task(shell.run()):
            while len(record.samples) < 1000:
                time.sleep(0.4)  # noqa: ASYNC251 - the blocked loop is the point; 0.3 s is the timeout
                await asyncio.sleep(0.02)
    finally:
        done.set()
        answering.join()
    assert {sample.outcome for sample in record.samples} == {"received"}


async def _answer_until(done: threading.Event, reflector: Reflector) -> None:
    async with running_task(reflector.run()):
        await asyncio.to_thread(done.wait)


async def test_a_kernel_that_refuses_to_send_is_a_failure_with_its_reason() -> None:
    record = Record()
    shell = sender(record, count=3)
    shell.set_peers([LatencyPeer("b", "127.255.255.255", 9)], FAST)  # broadcast, which we never ask leave for
    await asyncio.wait_for(shell.run(), 90)
    assert [(sample.outcome, sample.reason) for sample in record.samples] == [("lost", "forbidden")] * 3
    assert shell.counters["forbidden"] == 3
    assert {row.failure for row in record.rows()} == {"forbidden"}


async def test_a_stranger_s_replies_are_counted_and_change_nothing() -> None:
    record = Record()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.setblocking(False)  # noqa: FBT003 - the standard library's signature
        shell = LatencyEngine(
            "a",
            load("stamp"),
            FAST,
            on_window=record.window,
            on_sample=record.samples.append,
            count=1,
            bind=["127.0.0.1"],
        )
        shell.set_peers([LatencyPeer("b", *silent.getsockname())], FAST)
        async with running_task(shell.run()):
            request, source = await asyncio.wait_for(asyncio.get_running_loop().sock_recvfrom(silent, 2048), 90)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(request, source)
                stranger.sendto(b"short", source)
            await record.row(failure="no_reply", sent=1)
    assert shell.counters == {"stray": 1, "short_reply": 1}
    assert [sample.outcome for sample in record.samples] == ["lost"]


@pytest.mark.parametrize(("name", "source"), [("_takes_ids", "kernel"), ("_try", "user")])
async def test_older_kernels_count_their_sends_or_leave_the_stamps_to_us(
    monkeypatch: pytest.MonkeyPatch, name: str, source: str
) -> None:
    record = Record()
    reflector = Reflector(0, bind=["127.0.0.1"])
    monkeypatch.setattr(kernel_timestamps, name, lambda *_: False)
    shell = sender(record, count=20)
    shell.set_peers([LatencyPeer("b", "127.0.0.1", reflector.port), LatencyPeer("c", "255.255.255.255", 9)], FAST)
    async with running_task(reflector.run()):
        await asyncio.wait_for(shell.run(), 90)
    assert [(s.outcome, s.source) for s in record.samples if s.site == "b"] == [("received", source)] * 20


async def test_the_reply_leaves_from_the_address_that_was_probed() -> None:
    reflector = Reflector(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.setblocking(False)  # noqa: FBT003 - the standard library's signature
        peer.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 77)
        peer.sendto(
            encode_request(StampRequest(1, 2, 3, 4, bytes.fromhex("80010002abcd"))), ("127.0.0.9", reflector.port)
        )
        async with running_task(reflector.run()):
            data, source = await asyncio.wait_for(asyncio.get_running_loop().sock_recvfrom(peer, 2048), 90)
    assert source == ("127.0.0.9", reflector.port)
    assert (decode_reply(data).sender_ttl, decode_reply(data).extra) == (77, bytes.fromhex("00010002abcd"))


async def test_a_taken_port_and_a_foreign_address_are_the_operators_to_mend() -> None:
    with (
        contextlib.closing(Reflector(0, bind=["127.0.0.1"])) as first,
        pytest.raises(OperatorError, match=rf"UDP port 127.0.0.1:{first.port} is taken: stop what uses it"),
    ):
        Reflector(first.port, bind=["127.0.0.1"])
    for bind, sentence in (
        (["192.0.2.1"], "is no address of this machine"),
        (["home"], "must be an IPv4 or IPv6 address"),
        (["127.0.0.1", "127.0.0.2"], "at most one IPv4 and one IPv6"),
    ):
        with pytest.raises(OperatorError, match=sentence):
            Reflector(0, bind=bind)


async def test_authenticated_tests_need_a_key() -> None:
    with pytest.raises(OperatorError, match="needs a key"):
        sender(Record(), tests=LatencyTests(authenticated=True))


async def test_an_error_of_the_reader_of_rows_ends_the_sender() -> None:
    def broken(_: datetime, __: list[LatencyRow]) -> None:
        raise ZeroDivisionError(os.strerror(errno.EDOM))

    shell = LatencyEngine("a", load("stamp"), FAST, on_window=broken)
    shell.set_peers([LatencyPeer("b", "127.0.0.1", 9)], FAST)
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(shell.run(), 90)
    assert caught.group_contains(ZeroDivisionError)
