"""The one line that a new site gets: where its bundle is, which certificate answers there, and what opens it. Pure.

The server keeps the id alone. The secret never leaves the token: whoever has the server's files, or listens, has
nothing but sealed bundles.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass
from typing import Final

from linkweather.errors import OperatorError

_PREFIX: Final = "lw1-"
_ID_BYTES: Final = 12
_SECRET_BYTES: Final = 32
_FINGERPRINT_BYTES: Final = 32
_WHERE: Final = re.compile(r"\[?([A-Za-z0-9.:-]{1,253}?)\]?:(\d{1,5})")
_MOST_CHARACTERS: Final = 1000


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """Where a bundle is, and what opens it; `fingerprint` is the SHA-256 of the server's certificate (DER)."""

    id: str  # 24 hexadecimal digits
    secret: bytes
    fingerprint: bytes
    host: str
    port: int

    @classmethod
    def new(cls, fingerprint: bytes, host: str, port: int) -> EnrolmentToken:
        """A token that nobody has had."""
        return cls(secrets.token_hex(_ID_BYTES), secrets.token_bytes(_SECRET_BYTES), fingerprint, host, port)

    @classmethod
    def parse(cls, text: str) -> EnrolmentToken:
        """Raises OperatorError for what is no token, a cut one too; the sentence does not repeat it."""
        wrong = OperatorError("the token is none, or not whole: `linkweather enrol add` at the collector prints it")
        text = text.strip()
        if not text.startswith(_PREFIX) or len(text) > _MOST_CHARACTERS:
            raise wrong
        body = text.removeprefix(_PREFIX)
        try:
            packed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            fixed, where, check = packed[: _ID_BYTES + 64], packed[_ID_BYTES + 64 : -4], packed[-4:]
            place = _WHERE.fullmatch(where.decode("ascii"))
        except (binascii.Error, ValueError):
            raise wrong from None
        if place is None or binascii.crc32(packed[:-4]).to_bytes(4) != check or not 0 < int(place[2]) < 65536:
            raise wrong
        secret = fixed[_ID_BYTES : _ID_BYTES + _SECRET_BYTES]
        return cls(fixed[:_ID_BYTES].hex(), secret, fixed[-_FINGERPRINT_BYTES:], place[1], int(place[2]))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        packed = bytes.fromhex(self.id) + self.secret + self.fingerprint + f"{host}:{self.port}".encode("ascii")
        packed += binascii.crc32(packed).to_bytes(4)
        return _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")

    def __repr__(self) -> str:
        return f"EnrolmentToken(id={self.id!r}, host={self.host!r}, port={self.port!r})"  # a log has no secret
