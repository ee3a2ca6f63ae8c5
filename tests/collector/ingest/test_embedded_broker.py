"""The embedded broker, with a real mosquitto."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.ingest import embedded_broker as broker
from collector.ingest.embedded_broker import EmbeddedBroker, Listen, configuration
from linkweather.backoff import Backoff
from linkweather.broker import parse_broker
from linkweather.errors import OperatorError
from linkweather.mqtt import Connection
from tests import servers
from tests.waiting import running_task, until


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A socket's path has at most 107 bytes: pytest's own folders may be too deep."""
    with tempfile.TemporaryDirectory(prefix="lw") as folder:
        yield Path(folder)


@pytest.fixture
def listen(short_folder: Path) -> Listen:
    return Listen(servers.free_port(), short_folder / "broker.sock")


async def reaches(url: str) -> bool:
    connection = Connection(parse_broker(url), "test", subscriptions=[], handle=lambda _topic, _payload: None)
    async with running_task(connection.run()):
        await until(lambda: connection.connected)
    return True


def test_the_configuration_is_loopback_only_and_says_so() -> None:
    lines = configuration(Listen(1883, Path("/run/x/b.sock"))).splitlines()
    assert "listener 1883 127.0.0.1" in lines
    assert "listener 0 /run/x/b.sock" in lines
    assert "persistence false" in lines


def test_without_a_socket_there_is_one_listener() -> None:
    assert configuration(Listen(1883)).count("listener") == 1


async def test_it_answers_on_its_port_and_on_its_socket_and_stops(listen: Listen, tmp_path: Path) -> None:
    embedded = EmbeddedBroker(listen, tmp_path)
    await embedded.start()
    try:
        assert await reaches(f"mqtt://127.0.0.1:{listen.port}")
        assert await reaches(f"unix://{listen.path}")
    finally:
        await embedded.stop()
    assert not servers.answers(listen.port)
    assert listen.path is not None
    assert not listen.path.exists()


async def test_it_starts_again_when_it_dies(listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "RETRY_FIRST_S", 0.01)
    embedded = EmbeddedBroker(listen, tmp_path)
    await embedded.start()
    task = asyncio.create_task(embedded.run(), name="broker")
    first = embedded._process
    assert first is not None
    first.kill()  # its socket stays behind, as after any crash
    await until(lambda: embedded._process is not first and servers.answers(listen.port))
    assert await reaches(f"unix://{listen.path}")
    task.cancel()
    await asyncio.wait([task])
    assert not servers.answers(listen.port)


@pytest.mark.parametrize(("healthy_s", "waits"), [(0.0, [0.01, 0.01, 0.01]), (60.0, [0.01, 0.02, 0.04])])
async def test_the_delay_before_a_restart_begins_anew_after_a_while_of_health(
    listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, healthy_s: float, waits: list[float]
) -> None:
    waited: list[float] = []
    started: asyncio.Queue[None] = asyncio.Queue()

    class Noted(Backoff):
        def next_s(self) -> float:
            waited.append(super().next_s())
            return waited[-1]

    class Announced(EmbeddedBroker):
        async def start(self) -> None:
            await super().start()
            started.put_nowait(None)

    monkeypatch.setattr(broker, "Backoff", Noted)
    monkeypatch.setattr(broker, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(broker, "HEALTHY_S", healthy_s)
    embedded = Announced(listen, tmp_path)
    await embedded.start()
    task = asyncio.create_task(embedded.run(), name="broker")
    await started.get()
    for _ in waits:
        assert embedded._process is not None
        embedded._process.kill()
        await asyncio.wait_for(started.get(), broker.START_LIMIT_S)
    task.cancel()
    await asyncio.wait([task])
    assert waited == waits


async def test_a_port_that_is_taken_while_it_was_down_is_tried_again(
    listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(broker, "RETRY_FIRST_S", 0.01)
    embedded = EmbeddedBroker(listen, tmp_path)
    with socket.create_server(("127.0.0.1", listen.port)):
        task = asyncio.create_task(embedded.run(), name="broker")
        await until(lambda: "the port is taken" in caplog.text)
    await until(lambda: servers.answers(listen.port))
    task.cancel()
    await asyncio.wait([task])


async def test_a_taken_port_is_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError) as error:
            await EmbeddedBroker(Listen(port), tmp_path).start()
    assert str(error.value) == (
        f"broker_port = {port}: the port is taken, perhaps by another broker: choose another with "
        f"--broker-port, or use that broker with --broker mqtt://127.0.0.1:{port}"
    )


async def test_a_socket_where_another_broker_answers_is_left_alone(listen: Listen, tmp_path: Path) -> None:
    assert listen.path is not None
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(listen.path))
        other.listen()
        with pytest.raises(OperatorError, match=r"another broker answers there: stop it, or choose another path$"):
            await EmbeddedBroker(listen, tmp_path).start()
    assert listen.path.exists()


async def test_a_socket_of_another_kind_is_left_alone(listen: Listen, tmp_path: Path) -> None:
    assert listen.path is not None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(listen.path))
        with pytest.raises(OperatorError, match=r"something is there that cannot be asked \(Protocol wrong type"):
            await EmbeddedBroker(listen, tmp_path).start()
    assert listen.path.exists()


async def test_a_broker_that_is_too_busy_to_answer_is_left_alone(listen: Listen, tmp_path: Path) -> None:
    assert listen.path is not None
    with socket.socket(socket.AF_UNIX) as other, contextlib.ExitStack() as waiting:
        other.bind(str(listen.path))
        other.listen(0)
        with contextlib.suppress(BlockingIOError):
            for _ in range(10):  # until its queue is full
                caller = waiting.enter_context(socket.socket(socket.AF_UNIX))
                caller.setblocking(False)  # noqa: FBT003 - the standard library's signature
                caller.connect(str(listen.path))
        with pytest.raises(OperatorError, match=r"another broker answers there: stop it, or choose another path$"):
            await EmbeddedBroker(listen, tmp_path).start()
    assert listen.path.exists()


async def test_a_file_in_the_socket_s_place_is_left_alone(listen: Listen, tmp_path: Path) -> None:
    assert listen.path is not None
    listen.path.write_text("mine")
    with pytest.raises(OperatorError, match=r"broker_socket = '.*broker.sock': is a file, and no socket"):
        await EmbeddedBroker(listen, tmp_path).start()
    assert listen.path.read_text() == "mine"


async def test_a_path_too_long_for_a_socket_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"longer than 107 bytes: choose a shorter path$"):
        await EmbeddedBroker(Listen(servers.free_port(), tmp_path / ("x" * 100)), tmp_path).start()


async def test_a_missing_mosquitto_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name, *, path: path and None)  # nowhere on any path
    with pytest.raises(OperatorError) as error:
        await EmbeddedBroker(Listen(servers.free_port()), tmp_path).start()
    assert str(error.value) == (
        'broker = "embedded": the program mosquitto is missing: '
        "install it (apt install mosquitto), or give the URL of a broker"
    )


def test_mosquitto_is_found_although_the_path_lacks_sbin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert broker.find_program().endswith("/mosquitto")


async def test_a_broker_that_ends_at_once_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "configuration", lambda _listen: "no such setting\n")
    with pytest.raises(OperatorError, match=r"the embedded broker ended at once with status \d+: run `mosquitto -c "):
        await EmbeddedBroker(Listen(servers.free_port()), tmp_path).start()


_OWNER = """
import asyncio, sys
from pathlib import Path
from collector.ingest.embedded_broker import EmbeddedBroker, Listen
async def main():
    embedded = EmbeddedBroker(Listen(int(sys.argv[1])), Path(sys.argv[2]))
    await embedded.start()
    print(embedded._process.pid, flush=True)
    await embedded.run()
asyncio.run(main())
"""


def test_it_does_not_outlive_a_collector_that_is_killed(tmp_path: Path) -> None:
    port = servers.free_port()
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(port), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    servers.wait_until(lambda: not servers.answers(port), f"mosquitto {pid} follows its owner")


async def test_a_configuration_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mosquitto.conf").mkdir()
    with pytest.raises(OperatorError, match=r"mosquitto.conf: cannot be written: Is a directory$"):
        await EmbeddedBroker(Listen(servers.free_port()), tmp_path).start()


async def test_a_socket_s_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    listen = Listen(servers.free_port(), tmp_path / "file" / "broker.sock")
    with pytest.raises(OperatorError, match=r"broker.sock': its folder cannot be made: "):
        await EmbeddedBroker(listen, tmp_path).start()


async def test_a_disk_that_is_slow_holds_up_no_loop_as_the_broker_starts(
    listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, syncing, go_on = os.fsync, threading.Event(), threading.Event()

    def slow(number: int) -> None:
        syncing.set()
        go_on.wait(30)
        sync(number)

    monkeypatch.setattr("linkweather.atomicfile.os.fsync", slow)
    embedded = EmbeddedBroker(listen, tmp_path)
    starting = asyncio.create_task(embedded.start(), name="start")
    try:
        await until(syncing.is_set)  # which this loop sees meanwhile
        assert not starting.done()
    finally:
        go_on.set()
        await starting
        await embedded.stop()
