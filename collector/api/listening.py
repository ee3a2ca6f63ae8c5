"""Where the API listens: a port, a Unix socket in the data folder for the collector's own user alone, and its TLS."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

from linkweather.api_place import socket_name
from linkweather.errors import OperatorError

log = logging.getLogger(__name__)

BACKLOG = 256
WATCH_S = 1.0
PATH_BYTES_MAX = 107  # sockaddr_un.sun_path, less its closing NUL (unix(7))


def listen_at_port(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OperatorError for a taken port or a bad host."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise OperatorError(f"api.host = {host!r}: cannot be resolved: {error.strerror}") from None
    # asyncio sets TCP_NODELAY where a socket names its protocol: without it each short answer waits 40 ms for an ACK.
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OperatorError(_sentence(host, port, error)) from None
    return listener


def listen_at_file(folder: Path, port: int) -> socket.socket:
    """A listening Unix socket in the folder, named for the port. Raises OperatorError."""
    path = folder / socket_name(port)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.lstat().st_mode):  # of a collector that was killed: the journal's lock is ours
                path.unlink()
        with _short(path) as name:
            listener.bind(name)
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OperatorError(f"{path}: cannot listen there: {error.strerror or error}") from None
    return listener


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The path, by its open folder where it is longer than a socket's may be."""
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class ServerCertificate:
    """The certificate and its key as a context for TLS; what changes in the files counts for the next connections."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises OperatorError for files that cannot be used."""
        self._files = certificate, key
        self._stamps = self._stamp()
        try:
            self.context = self._loaded()
        except OSError as error:  # ssl.SSLError is one
            raise OperatorError(f"api.cert_file = '{certificate}': cannot be used: {_reason(error)}") from None

    async def run(self) -> None:
        """Take changed files in, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            self.look()

    def look(self) -> None:
        """Take changed files in now; a pair that does not fit is refused, and the one before stays."""
        stamps = self._stamp()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._loaded()  # of its own: a pair that does not fit would spoil the context
            self.context.load_cert_chain(*self._files)
        except OSError as error:
            log.error("api.cert_file: the changed files cannot be used (%s); those before stay", _reason(error))
        else:
            log.info("the API's certificate is read again")

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._files)
        return context

    def _stamp(self) -> list[tuple[int, int] | None]:
        return [_stamp(file) for file in self._files]


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)


def _sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"api.port = {port}: the port is taken, perhaps by another collector: choose another with --port"
    return f"api: cannot listen on {host}:{port}: {error.strerror}"
