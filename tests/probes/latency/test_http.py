"""HTTP against real servers: one that answers, ones that fail in each way, and TLS with certificates of our own."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from linkweather.errors import OperatorError
from linkweather.mesh import LatencyTests, Site
from linkweather.mesh_methods import check_options
from linkweather.wire import LatencyRow
from probes.latency.engine import LatencyEngine
from probes.latency.http import HttpOptions, HttpProber
from probes.latency.prober import Method
from probes.latency.targets import LatencyPeer
from tests import servers

HERE = "127.0.0.1"
DAYS_VALID = 30


class Site503(BaseHTTPRequestHandler):
    """Answers 200 at any path but /broken, and notes what was asked for."""

    asked: list[tuple[str, str, str | None]]

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self._answer(b"x" * 1_000_000)

    def _answer(self, body: bytes) -> None:
        self.asked.append((self.command, self.path, self.headers["Host"]))
        self.send_response(503 if self.path == "/broken" else 200)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the prober reads the status and goes
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(server: Any) -> Iterator[int]:
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def site(*, context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[tuple[str, str, str | None]]]]:
    handler = type("Handler", (Site503,), {"asked": []})
    server = ThreadingHTTPServer((HERE, 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server) as port:
        yield port, handler.asked  # type: ignore[attr-defined]


@contextlib.contextmanager
def raw(answer: bytes, *, then: Callable[[], object] = lambda: None) -> Iterator[int]:
    """A TCP server that reads the request, sends `answer`, does `then` and closes."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            with contextlib.suppress(ConnectionError):
                self.request.sendall(answer)
            then()

    with serving(ThreadingTCPServer((HERE, 0), Handler)) as port:
        yield port


def certificate(folder: Path, *, valid_days: int = DAYS_VALID) -> tuple[Path, ssl.SSLContext]:
    """A certificate of our own for 127.0.0.1, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HERE)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=valid_days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HERE))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(made.public_bytes(pem) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


async def measure(url: str, *, verb: str = "HEAD", count: int = 3, timeout_s: float = 5.0) -> LatencyRow:
    prober = HttpProber()
    options = HttpOptions.model_validate({"url": url, "verb": verb})
    rows: list[LatencyRow] = []
    tests = LatencyTests(interval_s=0.02, timeout_s=timeout_s, report_interval_s=1e9)
    engine = LatencyEngine(
        "a", Method("http", prober), tests, on_window=lambda _, window: rows.extend(window), count=count
    )
    address, port = prober.destination(Site(address=HERE), options)
    engine.set_peers([LatencyPeer("b", address, port, options=options)], tests)
    await engine.run()
    (row,) = rows
    return row


async def test_a_request_gives_the_handshake_as_rtt_and_each_step_as_a_figure() -> None:
    with site() as (port, asked):
        row = await measure(f"http://{HERE}:{port}/health?full=1")
    assert (row.method, row.sent, row.received, row.failure, row.timestamp) == ("http", 3, 3, None, "kernel")
    assert row.figures is not None
    assert set(row.figures) == {"connect_s", "first_byte_s", "status"}
    assert row.figures["status"] == 200
    assert row.figures["first_byte_s"] > 0
    assert row.rtt_min_s is not None
    assert row.rtt_max_s is not None
    assert row.rtt_min_s <= row.figures["connect_s"] <= row.rtt_max_s
    assert asked == [("HEAD", "/health?full=1", f"{HERE}:{port}")] * 3


async def test_get_asks_for_the_body_and_does_not_wait_for_it() -> None:
    with site() as (port, asked):
        row = await measure(f"http://{HERE}:{port}", verb="GET", count=1)
    assert (row.received, row.failure) == (1, None)
    assert asked == [("GET", "/", f"{HERE}:{port}")]


async def test_tls_is_a_step_of_its_own_and_says_when_the_certificate_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with site(context=context) as (port, _):
        row = await measure(f"https://{HERE}:{port}/")
    assert (row.received, row.failure) == (3, None)
    assert row.figures is not None
    assert row.figures["tls_s"] > row.figures["connect_s"] > 0
    assert DAYS_VALID - 1 < row.figures["certificate_expires_s"] / 86400 < DAYS_VALID


@pytest.mark.parametrize(
    ("trusted", "valid_days", "sentence"), [(False, DAYS_VALID, "self-signed"), (True, -1, "expired")]
)
async def test_a_certificate_that_is_not_to_be_trusted_is_a_failure_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trusted: bool, valid_days: int, sentence: str
) -> None:
    file, context = certificate(tmp_path, valid_days=valid_days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with site(context=context) as (port, _):
        row = await measure(f"https://{HERE}:{port}/", count=2)
    assert (row.sent, row.received, row.failure, row.rtt_p50_s) == (2, 0, "bad_certificate", None)
    assert row.detail is not None
    assert sentence in row.detail
    assert row.figures is not None
    assert set(row.figures) == {"connect_s"}


async def test_a_server_error_is_a_failure_and_the_figures_stay() -> None:
    with site() as (port, _):
        row = await measure(f"http://{HERE}:{port}/broken")
    assert (row.received, row.failure, row.detail) == (0, "server_error", "HTTP status 503")
    assert row.figures is not None
    assert row.figures["status"] == 503


async def test_a_refused_connection_is_a_failure() -> None:
    row = await measure(f"http://{HERE}:{servers.free_port()}/")
    assert (row.sent, row.received, row.failure, row.figures) == (3, 0, "refused", None)


async def test_a_server_that_keeps_silent_is_given_up_at_the_timeout_and_its_handshake_is_known() -> None:
    done = threading.Event()
    with raw(b"", then=done.wait) as port:
        row = await measure(f"http://{HERE}:{port}/", timeout_s=0.3)
        done.set()
    assert (row.sent, row.received, row.failure) == (3, 0, "no_reply")
    assert row.figures is not None
    assert set(row.figures) == {"connect_s"}


@pytest.mark.parametrize(
    ("answer", "scheme", "failure"),
    [
        (b"", "http", "closed"),
        (b"HTTP/1.1 2", "http", "closed"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "http", "bad_answer"),
        (b"x" * 10_000, "http", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "https", "tls_failed"),
    ],
)
async def test_an_answer_that_is_none_is_a_failure_with_its_reason(answer: bytes, scheme: str, failure: str) -> None:
    with raw(answer) as port:
        row = await measure(f"{scheme}://{HERE}:{port}/", count=2)
    assert (row.sent, row.received, row.failure) == (2, 0, failure)
    assert row.detail is not None


def test_a_site_is_asked_at_its_url_else_at_the_root_of_its_address() -> None:
    def place(address: str, **options: str) -> tuple[str, int]:
        return HttpProber().destination(Site(address=address), HttpOptions.model_validate(options))

    assert place("a.example.org") == ("a.example.org", 443)
    assert place("2001:db8::1") == ("2001:db8::1", 443)
    assert place("a.example.org", url="http://b.example.org/health") == ("b.example.org", 80)
    assert place("a.example.org", url="https://b.example.org:8443/") == ("b.example.org", 8443)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example.org/",
        "a.example.org",
        "https://",
        "https://me:secret@a.example.org/",
        "http://a:99999/",
        "http://a.example.org/a b",
        "http://a.example.org/\r\nX: y",
        "http://[::1/",
    ],
)
def test_a_url_that_cannot_be_asked_for_is_refused_by_file_and_key(url: str) -> None:
    with pytest.raises(OperatorError, match=r"^mesh\.toml: sites\.b\.options\.url = .*: must be a URL such as https"):
        check_options("http", {"url": url}, "mesh.toml", site="sites.b")


def test_options_of_another_name_or_kind_are_refused_by_file_and_key() -> None:
    for options, sentence in (
        ({"uri": "https://a/"}, r"^mesh\.toml: sites\.b\.options\.uri = 'https://a/': no such key$"),
        ({"verb": "POST"}, r"^mesh\.toml: sites\.b\.options\.verb = 'POST': must be 'HEAD' or 'GET'$"),
    ):
        with pytest.raises(OperatorError, match=sentence):
            check_options("http", options, "mesh.toml", site="sites.b")
