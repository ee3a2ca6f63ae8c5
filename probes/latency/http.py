"""HTTP as a prober, for sites without a probe: what a client waits for, step by step.

One exchange is one connection and one request; nothing of it is kept for the next. The row's RTT is the time of the
TCP handshake, which is the network's alone, as the kernel measures it: the steps after it contain the server's work.
The figures, of each step by itself:

- `connect_s`: the TCP handshake, the RTT again.
- `tls_s`: the TLS handshake, of https only; `certificate_expires_s`: for how long the certificate is still valid.
- `first_byte_s`: from the request's last byte until the answer's first.
- `status`: of the answer.

A server that answers 500 or more failed, as did one that refuses, breaks off, speaks something else than HTTP, or
shows a certificate that is not to be trusted: each is a failure with its own reason, and the figures until then stay.
Certificates are checked against the system's, or those in the file that SSL_CERT_FILE names.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field

from linkweather.errors import MeasurementError
from linkweather.mesh import Settings, Site
from probes.latency.prober import Address, Needs, ProberCall, RoundTrip, Wording
from probes.latency.tcp import connect, tcp_socket

_PORTS = {"http": 80, "https": 443}
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r\n]")
_LONGEST_LINE_BYTES = 4096
_FAILED = 500
_HEADERS = "User-Agent: linkweather\r\nAccept: */*\r\nConnection: close\r\n"
_PRINTABLE = re.compile(r"[!-~]+")  # a space or a line's end would be part of the request


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        possible = parts.scheme in _PORTS and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:
        possible = False
    if not possible or not _PRINTABLE.fullmatch(value):
        raise ValueError("a URL such as https://example.org/health, without user, password and spaces")
    return value


class HttpOptions(Settings):
    """What to ask for: by default the root of the site's address, by HEAD."""

    url: Annotated[str, Field(max_length=2000), AfterValidator(_url)] | None = None
    verb: Literal["HEAD", "GET"] = "HEAD"


class HttpProber:
    """Asks for a URL on a connection of its own, and reads the answer's status."""

    wording = Wording("HTTP", " at port {port}", "the server answers", "no good answer from TCP port {port}")
    # Ten requests a second are too many for a server of others. TCP, TLS and HTTP take four round trips.
    needs = Needs(interval_s=1.0, timeout_s=5.0)
    options = HttpOptions

    def destination(self, site: Site, options: HttpOptions) -> Address:
        """The URL's host and port."""
        parts = urlsplit(options.url or _root(site.address))
        return parts.hostname or site.address, parts.port or _PORTS[parts.scheme]

    async def exchange(self, call: ProberCall) -> RoundTrip:
        """One request. Raises OSError, as of a refused connection, and MeasurementError.

        The reasons: `bad_certificate`, `tls_failed`, `closed`, `bad_answer`, `server_error`.
        """
        options: HttpOptions = call.options
        url = urlsplit(options.url or _root(call.host))
        with tcp_socket(call) as connection:
            trip = await connect(connection, call.address)
            call.note("connect_s", trip.rtt_s)
            async with self._stream(connection, url, call) as (reader, writer):
                status = await _ask(reader, writer, options.verb, url, call)
        if status >= _FAILED:
            raise MeasurementError("server_error", f"HTTP status {status}")
        return trip

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    @asynccontextmanager
    async def _stream(
        self, connection: socket.socket, url: SplitResult, call: ProberCall
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """The connection as a stream; https shakes hands first. What breaks within is a failure with its reason."""
        secure = url.scheme == "https"
        more: dict[str, Any] = {"ssl": self._trusted, "server_hostname": url.hostname} if secure else {}
        try:
            began = time.monotonic()
            reader, writer = await asyncio.open_connection(sock=connection, limit=_LONGEST_LINE_BYTES, **more)
            try:
                if secure:
                    call.note("tls_s", time.monotonic() - began)
                    call.note("certificate_expires_s", _valid_for_s(writer, time.time()))
                yield reader, writer
            finally:
                writer.transport.abort()
        except ssl.SSLCertVerificationError as error:
            raise MeasurementError("bad_certificate", error.verify_message) from None
        except ssl.SSLError as error:
            raise MeasurementError("tls_failed", error.reason or str(error)) from None
        except (ConnectionError, asyncio.IncompleteReadError):
            raise MeasurementError("closed", "the server closed the connection before it answered") from None
        except asyncio.LimitOverrunError:
            raise MeasurementError("bad_answer", "the answer is not HTTP") from None


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, verb: str, url: SplitResult, call: ProberCall
) -> int:
    """Send the request; the status of the answer, whose rest is not read."""
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    writer.write(f"{verb} {path} HTTP/1.1\r\nHost: {url.netloc}\r\n{_HEADERS}\r\n".encode("ascii"))
    asked = time.monotonic()
    line = await reader.readexactly(1)
    call.note("first_byte_s", time.monotonic() - asked)
    line += await reader.readuntil(b"\n")
    found = _STATUS_LINE.match(line)
    if found is None:
        raise MeasurementError("bad_answer", "the answer is not HTTP")
    call.note("status", int(found[1]))
    return int(found[1])


def _valid_for_s(writer: asyncio.StreamWriter, now: float) -> float:
    certificate = writer.get_extra_info("peercert")
    return ssl.cert_time_to_seconds(certificate["notAfter"]) - now


def _root(host: str) -> str:
    return f"https://[{host}]/" if ":" in host else f"https://{host}/"
