"""The embedded broker: mosquitto as a child process on loopback, with a configuration written here."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from collector.settings import BROKER_PORT, LOOPBACK, CollectorSettings
from linkweather import atomicfile
from linkweather.backoff import Backoff
from linkweather.child_processes import die_with_parent, stop_child
from linkweather.errors import OperatorError

log = logging.getLogger(__name__)

SOCKET_PATH_MAX_BYTES = 107  # sockaddr_un.sun_path, less its closing NUL (unix(7))
START_LIMIT_S = 10.0
STOP_LIMIT_S = 3.0
RETRY_FIRST_S = 0.5
HEALTHY_S = 60.0  # one that ran this long has recovered: the delays before a restart begin anew
_ANSWER_LIMIT_S = 1.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the embedded broker listens: a port of loopback and, for programs in other network namespaces, a socket."""

    port: int = BROKER_PORT
    path: Path | None = None


async def start_embedded(settings: CollectorSettings, tasks: asyncio.TaskGroup) -> asyncio.Task[None] | None:
    """Start the broker that the settings ask for, and supervise it in a task; None where they name another broker.

    Raises OperatorError.
    """
    if not settings.has_embedded_broker:
        return None
    broker = EmbeddedBroker(Listen(settings.broker_port, settings.broker_socket), settings.data_dir)
    await broker.start()
    return tasks.create_task(broker.run(), name="broker")


def configuration(listen: Listen) -> str:
    """The text of mosquitto's configuration. Anonymous, since only this machine can reach it."""
    lines = [
        "# Written by linkweather at each start: changes are lost.",
        f"listener {listen.port} {LOOPBACK}",
        *([f"listener 0 {listen.path}"] if listen.path else []),
        "allow_anonymous true",
        # Started by root, mosquitto would switch to the user mosquitto, who may not create the socket here;
        # started by another user, it ignores this line.
        "user root",
        # Sites keep what is not committed: the broker need not.
        "persistence false",
        "max_queued_messages 100000",
        "max_inflight_messages 1000",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
    ]
    return "\n".join(lines) + "\n"


class EmbeddedBroker:
    """mosquitto, kept running. Call `start`, then `run`; cancelling `run` stops it. It never outlives this process."""

    def __init__(self, listen: Listen, folder: Path) -> None:
        self._listen = listen
        self._settings = folder / "mosquitto.conf"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it listens. Raises OperatorError: missing program, taken port, bad socket path."""
        program = await asyncio.to_thread(self._prepare)  # a slow disk holds up no commit
        self._process = await asyncio.create_subprocess_exec(
            program,
            "-c",
            str(self._settings),
            stdin=asyncio.subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # must run between fork and exec; it takes no lock
            start_new_session=True,  # Ctrl-C must not reach it: it ends last, after the final commit
        )
        try:
            await self._listening(self._process)
        except BaseException:
            await self.stop()
            raise

    async def run(self) -> None:
        """Restart it whenever it ends, with growing delays; stop it when cancelled."""
        backoff = Backoff(RETRY_FIRST_S)
        loop = asyncio.get_running_loop()
        try:
            while True:
                if self._process is not None:
                    started = loop.time()
                    status = await self._process.wait()
                    log.warning("the embedded broker ended with status %d; starting it again", status)
                    if loop.time() - started >= HEALTHY_S:
                        backoff.reset()
                await asyncio.sleep(backoff.next_s())
                try:
                    await self.start()
                except OperatorError as error:
                    log.warning("%s", error)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Stop it; kill it where it does not end in time."""
        process, self._process = self._process, None
        if process is None:
            return
        await stop_child(process, STOP_LIMIT_S)
        if self._listen.path:
            self._listen.path.unlink(missing_ok=True)

    def _prepare(self) -> str:
        program = find_program()
        _check_port(self._listen.port)
        if self._listen.path:
            _clear_socket(self._listen.path)
        try:
            self._settings.parent.mkdir(parents=True, exist_ok=True)
            atomicfile.replace(self._settings, configuration(self._listen))
        except OSError as error:
            raise OperatorError(f"the broker's {self._settings}: cannot be written: {error.strerror}") from None
        return program

    async def _listening(self, process: asyncio.subprocess.Process) -> None:
        deadline = asyncio.get_running_loop().time() + START_LIMIT_S
        while not await asyncio.to_thread(_answers, LOOPBACK, self._listen.port):
            if process.returncode is not None:
                raise OperatorError(
                    f"the embedded broker ended at once with status {process.returncode}: "
                    f"run `mosquitto -c {self._settings}` to see why"
                )
            if asyncio.get_running_loop().time() > deadline:
                raise OperatorError(f"the embedded broker does not listen at {LOOPBACK}:{self._listen.port}")
            await asyncio.sleep(_POLL_S)


def find_program() -> str:
    """The path of mosquitto. Raises OperatorError that says how to get it."""
    # Debian installs daemons in folders that are not on an ordinary user's PATH.
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")
    if program is None:
        raise OperatorError(
            'broker = "embedded": the program mosquitto is missing: '
            "install it (apt install mosquitto), or give the URL of a broker"
        )
    return program


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise OperatorError(_port_sentence(port, error)) from None


def _port_sentence(port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"broker_port = {port}: the port is taken, perhaps by another broker: "
            f"choose another with --broker-port, or use that broker with --broker mqtt://{LOOPBACK}:{port}"
        )
    return f"broker_port = {port}: cannot be used: {error.strerror}"


def _clear_socket(path: Path) -> None:
    """Remove a dead socket of an earlier run. Raises OperatorError for anything else in its place."""
    if len(os.fsencode(path)) > SOCKET_PATH_MAX_BYTES:
        raise OperatorError(
            f"broker_socket = '{path}': longer than {SOCKET_PATH_MAX_BYTES} bytes: choose a shorter path"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(f"broker_socket = '{path}': its folder cannot be made: {error.strerror}") from None
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise OperatorError(f"broker_socket = '{path}': is a file, and no socket: choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_ANSWER_LIMIT_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()  # what listened there is gone
            return
        except (BlockingIOError, TimeoutError):
            pass  # it listens, and is too busy to say so
        except OSError as error:
            raise OperatorError(
                f"broker_socket = '{path}': something is there that cannot be asked ({error.strerror}): "
                "choose another path"
            ) from None
    raise OperatorError(f"broker_socket = '{path}': another broker answers there: stop it, or choose another path")


def _answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False
