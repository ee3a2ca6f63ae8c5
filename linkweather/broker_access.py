"""What a connection to the broker needs of files: certificates, keys, passwords. Read at each: what is replaced counts.

A room of its own as the client and the sink `mqtt` need it, and settings do without it.
"""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from linkweather.broker import Broker
from linkweather.errors import OperatorError


class _TlsSocket(ssl.SSLSocket):
    """A socket that a handshake which fails leaves closed; paho drops it open."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's own
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def tls_context(broker: Broker) -> ssl.SSLContext | None:
    """How to talk TLS with it, None where it is without. Raises OperatorError: a file that cannot be used."""
    if broker.scheme != "mqtts":
        return None
    try:
        context = ssl.create_default_context(cafile=broker.ca_file)
    except OSError as error:
        raise _unusable("ca_file", broker.ca_file, error, "no certificate of an authority") from None
    context.sslsocket_class = _TlsSocket
    if broker.cert_file and broker.key_file:
        _check_private("key_file", broker.key_file)
        try:
            # Without a function for it, OpenSSL asks the terminal for the key's password.
            context.load_cert_chain(broker.cert_file, broker.key_file, password=lambda: "")
        except OSError as error:
            raise _unusable("cert_file", broker.cert_file, error, f"no certificate of {broker.key_file}") from None
    return context


def password(broker: Broker) -> str | None:
    """Our password there, if any. Raises OperatorError: a file that cannot be used."""
    if broker.password_file is None:
        return broker.password
    _check_private("password_file", broker.password_file)
    try:
        lines = broker.password_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable("password_file", broker.password_file, error, "no text") from None
    return lines[0] if lines else ""


def _check_private(key: str, path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _unusable(key, path, error, "") from None
    if mode & stat.S_IRWXO:
        raise OperatorError(f"broker.{key} = '{path}': others may read it: run `chmod 600 {path}`")


def _unusable(key: str, path: Path | None, error: Exception, otherwise: str) -> OperatorError:
    """The sentence about a file; ssl's errors have no words of the system's."""
    away = isinstance(error, OSError) and not isinstance(error, ssl.SSLError)
    what = f"cannot be read: {error.strerror}" if away and isinstance(error, OSError) else f"is {otherwise}"
    return OperatorError(f"broker.{key} = '{path}': {what}")
