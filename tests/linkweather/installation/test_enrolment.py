"""A site's bundle over real TLS: fetched once, by its token alone, from the server whose certificate that names."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from linkweather.errors import OperatorError
from linkweather.installation.enrolment_client import fetch
from linkweather.installation.enrolment_server import EnrolmentServer
from linkweather.installation.enrolment_token import EnrolmentToken
from linkweather.installation.site_bundle import Enrolments, SiteBundle, seal, unseal

BUNDLE = SiteBundle(
    site="north",
    broker="mqtts://broker.example:8883",
    files={"site.key": "secret"},
    mesh_name="example",
    udp_port=8620,
    peers=("192.0.2.1",),
)


def certificate(folder: Path) -> bytes:
    """A certificate and its key in `folder`; the certificate's SHA-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "enrolment")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "server.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made.fingerprint(hashes.SHA256())


class Stage:
    """A server that runs, and its folder."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.fingerprint = certificate(folder)
        self.waiting = folder / "enrolments"
        self.waiting.mkdir()
        self.server = EnrolmentServer(host, 0, self.waiting, folder / "server.crt", folder / "server.key")
        self.port: int = self.server.server_address[1]

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the block runs, it answers."""
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()

    def token(self, *, lasts_s: float = 60.0, bundle: SiteBundle = BUNDLE, host: str = "127.0.0.1") -> EnrolmentToken:
        """A token whose bundle waits."""
        token = EnrolmentToken.new(self.fingerprint, host, self.port)
        Enrolments(self.waiting).add(token.id, bundle.site, seal(bundle, token.secret), until_s=time.time() + lasts_s)
        return token

    def files(self) -> list[Path]:
        """What waits."""
        return list(self.waiting.iterdir())


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    found = Stage(tmp_path)
    with found.running():
        yield found


def test_a_bundle_is_fetched_once(stage: Stage) -> None:
    token = stage.token()
    assert fetch(EnrolmentToken.parse(str(token))) == BUNDLE
    with pytest.raises(OperatorError, match="is used or has ended: `linkweather enrol renew`"):
        fetch(token)
    assert not stage.files()


def test_a_token_that_has_ended_gets_nothing_and_its_bundle_goes(stage: Stage) -> None:
    token = stage.token(lasts_s=-1)
    with pytest.raises(OperatorError, match="has ended"):
        fetch(token)
    assert not stage.files()


def test_a_newer_token_of_a_site_ends_the_older(stage: Stage) -> None:
    older = stage.token()
    newer = stage.token()
    with pytest.raises(OperatorError):
        fetch(older)
    assert fetch(newer) == BUNDLE


def test_another_server_gets_neither_the_id_nor_a_word(stage: Stage) -> None:
    token = EnrolmentToken.new(hashlib.sha256(b"another").digest(), "127.0.0.1", stage.port)
    with pytest.raises(OperatorError, match="another server answers"):
        fetch(token)


def test_the_files_of_the_server_open_nothing(stage: Stage) -> None:
    token = stage.token()
    (file,) = stage.files()
    assert b"secret" not in file.read_bytes()
    assert file.stat().st_mode & 0o007 == 0
    with pytest.raises(OperatorError, match="does not open"):
        unseal(file.read_bytes(), bytes(32))
    assert unseal(file.read_bytes(), token.secret) == BUNDLE


@pytest.mark.parametrize("path", ["/", "/enrol/", "/enrol/../server.key", f"/enrol/{'0' * 24}", "/enrol/%2e%2e"])
def test_a_stranger_learns_nothing(stage: Stage, path: str) -> None:
    stage.token()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", stage.port, context=context, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (404, b"")
    connection.close()
    assert len(stage.files()) == 1


def test_who_says_nothing_keeps_nobody_waiting(stage: Stage) -> None:
    token = stage.token()
    silent = [socket.create_connection(("127.0.0.1", stage.port)) for _ in range(10)]
    try:
        assert fetch(token) == BUNDLE
    finally:
        for connection in silent:
            connection.close()


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(OperatorError, match=rf"127\.0\.0\.1:{port}: no bundle can be fetched"):
            fetch(EnrolmentToken.new(bytes(32), "127.0.0.1", port))


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_server_that_listens_everywhere_answers_by_both_versions_of_ip(tmp_path: Path, host: str) -> None:
    stage = Stage(tmp_path, "")
    with stage.running():
        token = stage.token(host=host)
        assert fetch(EnrolmentToken.parse(str(token))) == BUNDLE


def test_what_is_no_certificate_is_said(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("none")
    with pytest.raises(OperatorError, match="are no certificate and its key"):
        EnrolmentServer("127.0.0.1", 0, tmp_path, tmp_path / "x", tmp_path / "x")
