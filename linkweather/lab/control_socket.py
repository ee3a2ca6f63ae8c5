"""The control socket of a running lab, in its data folder: the server's side and the client's."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel

from linkweather.errors import OperatorError
from linkweather.lab.protocol import LabReply, LabState

SOCKET_NAME = "lab.sock"
_ANSWER_LIMIT_S = 10.0
_CHUNK_BYTES = 65536
_REQUEST_LIMIT_BYTES = 65536
_REPLY_BUFFER_BYTES = 4 * 1024 * 1024


@contextlib.contextmanager
def _short_path(data_dir: Path) -> Iterator[str]:
    """A path of the socket that fits the 107 octets of a socket address, whatever the length of the folder's path."""
    folder = os.open(data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_NAME}"
    finally:
        os.close(folder)


def ask(data_dir: Path, request: BaseModel) -> LabState:
    """Send one request to the lab of a folder. Raises OperatorError if it refuses, or if no lab runs there."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_LIMIT_S)
        try:
            with _short_path(data_dir) as path:
                connection.connect(path)
            connection.sendall(request.model_dump_json(exclude_none=True).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = lines.readline()
        except TimeoutError:
            raise OperatorError(f"the lab in {data_dir} does not answer") from None
        except (FileNotFoundError, NotADirectoryError, ConnectionError):
            answer = b""
        except OSError as error:
            raise OperatorError(f"the lab in {data_dir} cannot be asked: {error.strerror}") from None
    if not answer:
        raise OperatorError(f"no lab runs in {data_dir}: start one with `linkweather demo`, or give its --data-dir")
    return state_of(LabReply.model_validate_json(answer))


def state_of(reply: LabReply) -> LabState:
    """The state in a reply. Raises OperatorError with the lab's sentence."""
    if reply.state is None:
        raise OperatorError(reply.error or "the lab ended without a reply")
    return reply.state


class ControlServer:
    """Answers requests, one JSON line each. Its caller watches `files()` and hands over the readable ones.

    Raises OperatorError at construction when another lab runs in the folder.
    """

    def __init__(self, data_dir: Path, answer: Callable[[bytes], LabReply]) -> None:
        self._data_dir = data_dir
        self._answer = answer
        self._connections: dict[int, tuple[socket.socket, bytearray]] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            self._listen()
        except BaseException:
            self._listener.close()
            raise

    def files(self) -> list[int]:
        """The files to watch."""
        return [self._listener.fileno(), *self._connections]

    def serve(self, file: int) -> None:
        """Handle one readable file; drop a peer that has gone or whose request is too long."""
        if file == self._listener.fileno():
            with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
                self._accept()
            return
        connection, unread = self._connections[file]
        try:
            chunk = connection.recv(_CHUNK_BYTES)
            unread += chunk
            while (end := unread.find(b"\n")) >= 0:
                line = bytes(unread[:end])
                del unread[: end + 1]
                connection.sendall(self._answer(line).model_dump_json(exclude_none=True).encode() + b"\n")
        except OSError:
            chunk = b""
        if not chunk or len(unread) > _REQUEST_LIMIT_BYTES:
            del self._connections[file]
            connection.close()

    def close(self) -> None:
        """Close everything and remove the socket's file."""
        with contextlib.suppress(OSError):  # the folder may be gone already
            (self._data_dir / SOCKET_NAME).unlink()
        self._listener.close()
        for connection, _ in self._connections.values():
            connection.close()
        self._connections.clear()

    def _listen(self) -> None:
        try:
            with _short_path(self._data_dir) as path:
                if _is_answered(path):
                    raise OperatorError(f"a lab runs in {self._data_dir} already: stop it, or choose another folder")
                # A killed lab leaves its socket behind.
                Path(path).unlink(missing_ok=True)
                self._listener.bind(path)
        except OSError as error:
            raise OperatorError(f"{self._data_dir}: no control socket can be made: {error.strerror}") from None
        self._listener.listen()
        self._listener.settimeout(0)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        # The lab's packets must not wait for a client that does not read: a reply that does not fit is dropped.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REPLY_BUFFER_BYTES)
        connection.settimeout(0)
        self._connections[connection.fileno()] = (connection, bytearray())


def _is_answered(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.connect(path)
        return True
    return False
