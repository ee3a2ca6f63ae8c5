"""`linkweather collector` as a process: its signals, and what it refuses to begin with."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from collector import daemon, parts
from collector.daemon import CollectorDaemon
from collector.settings import CollectorSettings, JournalSettings
from collector.store.journal import Journal, open_journal
from linkweather.client import Client
from tests import servers
from tests.collector.running_collector import TWO, settings

__all__ = ["settings"]

PROGRAM = str(Path(sys.executable).with_name("linkweather"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mesh.toml").write_text(TWO)
    return tmp_path


@contextlib.contextmanager
def command(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`linkweather collector` as a process in `folder`, killed at the end if it is still there."""
    process = subprocess.Popen(
        [PROGRAM, "collector", *options], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def until_healthy(port: int, process: subprocess.Popen[str]) -> None:
    """Wait until the collector answers, or has ended; a loaded machine takes long to load its engines."""

    def settled() -> bool:
        if process.poll() is not None:
            return True
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).is_success
        return False

    servers.wait_until(settled, "the collector is healthy", limit_s=90)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_status_0_and_its_broker_with_it(folder: Path, number: signal.Signals) -> None:
    port, broker = servers.free_port(), servers.free_port()
    with command(folder, "--port", str(port), "--broker-port", str(broker)) as process:
        until_healthy(port, process)
        with Client(f"http://127.0.0.1:{port}") as client:
            assert [site.site for site in client.sites()] == ["a", "b"]
        process.send_signal(number)
        _, log = process.communicate(timeout=90)
    assert (process.returncode, "Traceback" in log) == (0, False)
    assert not servers.answers(broker)


def test_sighup_rereads_the_mesh(folder: Path) -> None:
    port = servers.free_port()
    with command(folder, "--port", str(port), "--broker-port", str(servers.free_port())) as process:
        until_healthy(port, process)
        stat = (folder / "mesh.toml").stat()
        (folder / "mesh.toml").write_text(TWO.replace("192.0.2.2", "192.0.2.9"))
        os.utime(folder / "mesh.toml", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # the watch sees no change
        process.send_signal(signal.SIGHUP)
        with Client(f"http://127.0.0.1:{port}") as client:
            servers.wait_until(lambda: client.sites()[1].address == "192.0.2.9", "the mesh is read again")


def refusal(folder: Path, *options: str) -> str:
    with command(folder, *options) as process:
        _, log = process.communicate(timeout=90)
    assert process.returncode == 2
    return log


def test_a_taken_api_port_is_one_sentence_and_status_2(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal(folder, "--port", str(port)) == (
            f"Error: api.port = {port}: the port is taken, perhaps by another collector: choose another with --port\n"
        )


def test_a_taken_broker_port_is_one_sentence_and_status_2(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal(folder, "--port", str(servers.free_port()), "--broker-port", str(port)) == (
            f"Error: broker_port = {port}: the port is taken, perhaps by another broker: choose another with "
            f"--broker-port, or use that broker with --broker mqtt://127.0.0.1:{port}\n"
        )


def test_a_bad_broker_option_is_one_sentence_and_status_2(folder: Path) -> None:
    assert refusal(folder, "--broker", "tcp://x") == (
        "Error: the options: broker = 'tcp://x': must be \"embedded\", mqtt://host[:port], mqtts://host[:port] "
        "or unix:///path\n"
    )


def test_a_second_collector_on_the_same_data_is_refused(folder: Path) -> None:
    port = servers.free_port()
    with command(folder, "--port", str(port), "--broker-port", str(servers.free_port())) as process:
        until_healthy(port, process)
        log = refusal(folder, "--port", str(servers.free_port()), "--broker-port", str(servers.free_port()))
    assert log.startswith(f"Error: journal {folder}/collector-data/journal.duckdb: is in use by another process")


def test_a_data_folder_that_cannot_be_made_is_one_sentence(folder: Path) -> None:
    assert refusal(folder, "--data-dir", "mesh.toml/data") == (
        f"Error: data_dir = '{folder}/mesh.toml/data': cannot be made: Not a directory\n"
    )


def test_an_empty_token_file_is_one_sentence(folder: Path) -> None:
    (folder / "token").write_text("\n")
    (folder / "collector.toml").write_text('[api]\ntoken_file = "token"\n')
    assert refusal(folder, "--config", "collector.toml") == (
        f"Error: api.token_file = '{folder}/token': is empty; a token was expected\n"
    )


async def test_signals_that_come_while_the_collector_opens_are_handled(
    settings: CollectorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = signal.SIGHUP, signal.SIGTERM
    reread: list[CollectorDaemon] = []

    def signalled(data_dir: Path, settings: JournalSettings) -> Journal:
        for number in numbers:
            os.kill(os.getpid(), number)
        return open_journal(data_dir, settings)

    def note(found: CollectorDaemon) -> None:
        reread.append(found)

    monkeypatch.setattr(parts, "open_journal", signalled)
    monkeypatch.setattr(CollectorDaemon, "reload", note)
    for number in numbers:
        signal.signal(number, lambda *_: None)  # the default would end pytest
    try:
        async with asyncio.timeout(90):
            await daemon.run(settings)
    finally:
        for number in numbers:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
    assert len(reread) == 1


async def test_what_is_not_the_operator_s_mistake_crashes_loudly(
    settings: CollectorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: CollectorDaemon, __: asyncio.Event) -> None:
        async with asyncio.TaskGroup():
            raise ZeroDivisionError

    monkeypatch.setattr(CollectorDaemon, "run", broken)
    with pytest.raises(ExceptionGroup):
        await daemon.run(settings)
