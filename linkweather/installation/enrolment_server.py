"""Gives sealed bundles to new sites over TLS, each once: `linkweather enrol serve`.

A process of its own, so that what faces strangers holds no key but its certificate's, and no record. Whoever asks
without a token's id learns nothing: every other answer is the same 404.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from linkweather.errors import OperatorError
from linkweather.installation.site_bundle import Enrolments

log = logging.getLogger(__name__)

_PATH: Final = re.compile(r"/enrol/([0-9a-f]{24})")
_TIMEOUT_S: Final = 10.0
_MOST_AT_ONCE: Final = 20


class EnrolmentServer(ThreadingHTTPServer):
    """Listens at construction; `serve_forever` and `shutdown` as of socketserver. Raises OperatorError."""

    daemon_threads = True
    request_queue_size = 50

    def __init__(self, host: str, port: int, folder: Path, cert_file: Path, key_file: Path) -> None:
        self.enrolments = Enrolments(folder)
        self._free = threading.BoundedSemaphore(_MOST_AT_ONCE)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            self._tls.load_cert_chain(cert_file, key_file)
        except (OSError, ssl.SSLError) as error:
            raise OperatorError(f"{cert_file}, {key_file}: are no certificate and its key: {error}") from None
        if not host and socket.has_dualstack_ipv6():
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise OperatorError(f"{host}:{port}: cannot listen there: {error.strerror}") from None

    def server_bind(self) -> None:
        """Everywhere is by IPv4 as well."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Only so many at once: whoever comes beyond that is turned away unanswered."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The handshake is the thread's, too: a client that is slow at it keeps nobody waiting."""
        try:
            request.settimeout(_TIMEOUT_S)
            with self._tls.wrap_socket(request, server_side=True) as secured:
                super().process_request_thread(secured, client_address)
        except OSError:
            self.shutdown_request(request)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Strangers break off as they like."""
        del request
        log.debug("%s broke off", client_address[0])


class _Handler(BaseHTTPRequestHandler):
    server: EnrolmentServer
    timeout = _TIMEOUT_S
    server_version = "linkweather"
    sys_version = ""

    def do_GET(self) -> None:
        asked = _PATH.fullmatch(self.path)
        found = self.server.enrolments.take(asked[1], time.time()) if asked else None
        if found is None:
            self._answer(404, b"")
            return
        path, sealed = found
        self._answer(200, sealed)
        path.unlink(missing_ok=True)  # it is sent: nobody gets it twice
        client = self.client_address[0].removeprefix("::ffff:")  # IPv4, as a socket for both has it
        log.info("%s has fetched the bundle of %s", client, path.suffix.removeprefix("."))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        log.debug("%s %s", self.client_address[0], format % args)
