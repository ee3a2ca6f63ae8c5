"""Fetches a site's bundle from the server that its token names, and from no other: its certificate is pinned."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl

from linkweather.errors import OperatorError
from linkweather.installation.enrolment_token import EnrolmentToken
from linkweather.installation.site_bundle import MOST_BYTES, SiteBundle, unseal

_TIMEOUT_S = 15.0


def fetch(token: EnrolmentToken) -> SiteBundle:
    """The bundle of a token. Raises OperatorError: who does not answer, or answers wrongly, and what to do."""
    where = f"{token.host}:{token.port}"
    connection = _Pinned(token)
    try:
        connection.request("GET", f"/enrol/{token.id}")
        answer = connection.getresponse()
        body = answer.read(MOST_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise OperatorError(f"{where}: no bundle can be fetched there: {error}") from None
    finally:
        connection.close()
    if answer.status != http.client.OK or len(body) > MOST_BYTES:
        raise OperatorError(
            f"{where}: has nothing for this token, which is used or has ended: `linkweather enrol renew` makes another"
        )
    return unseal(body, token.secret)


class _Pinned(http.client.HTTPConnection):
    """A TLS connection whose peer's certificate is the one that the token names: no authority is asked."""

    def __init__(self, token: EnrolmentToken) -> None:
        super().__init__(token.host, token.port, timeout=_TIMEOUT_S)
        self._token = token

    def connect(self) -> None:
        super().connect()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the fingerprint below says more than any chain
        plain: socket.socket = self.sock
        self.sock = context.wrap_socket(plain, server_hostname=self._token.host)
        certificate = self.sock.getpeercert(binary_form=True) or b""
        if hashlib.sha256(certificate).digest() != self._token.fingerprint:
            self.close()
            raise ssl.SSLError("the certificate there is not the token's: another server answers")
