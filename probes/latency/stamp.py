"""STAMP (RFC 8762) as a prober, the project's own method: its reflector counts its replies and says how long it took.

See `stamp_packet` for the packets, `stamp_tlvs` for the padding, and `reflector` for the other end.
"""

from __future__ import annotations

import hmac
import socket

from linkweather.errors import MessageError, OperatorError
from linkweather.mesh import LatencyTests, Site
from probes.latency import stamp_tlvs
from probes.latency.prober import Address, Needs, NoOptions, Wording
from probes.latency.stamp_packet import (
    AUTHENTICATED_BYTES,
    BASE_BYTES,
    StampReply,
    StampRequest,
    decode_reply,
    encode_request,
)
from probes.latency.udp_sockets import open_socket


class StampProber:
    """A session-sender's packets, authenticated where the mesh asks for it, padded to the mesh's `packet_bytes`."""

    wording = Wording(
        "STAMP",
        " at UDP port {port}",
        "a reflector answers there",
        "no reflector answers at UDP port {port}",
        "one with another key drops our probes in silence, and logs them",
    )
    needs = Needs()
    options = NoOptions

    def __init__(self) -> None:
        self._key: bytes | None = None
        self.also: bytes | None = None  # a key by which replies may be signed as well, while the mesh's is changed
        self._padding = b""

    def destination(self, site: Site, options: NoOptions) -> Address:
        """The site's reflector."""
        del options
        return site.address, site.port

    def apply_settings(self, tests: LatencyTests, key: bytes | None) -> None:
        """Probe in this way. Raises OperatorError: authenticated tests without a key."""
        if tests.authenticated and key is None:
            raise OperatorError("latency.authenticated = true: needs a key, 64 hexadecimal digits in a key file")
        self._key = key if tests.authenticated else None
        missing = tests.packet_bytes - (AUTHENTICATED_BYTES if tests.authenticated else BASE_BYTES)
        self._padding = stamp_tlvs.padding(missing) if missing >= stamp_tlvs.HEADER_BYTES else b""

    def open(self, family: socket.AddressFamily, address: str) -> socket.socket:
        """A UDP socket at a free port."""
        return open_socket(family, address, 0)

    def encode(self, request: StampRequest, family: socket.AddressFamily) -> bytes:
        """A session-sender's packet."""
        del family
        if self._padding:
            request = request._replace(extra=self._padding)
        return encode_request(request, self._key)

    def decode(self, data: bytes, family: socket.AddressFamily) -> StampReply:
        """A reflector's packet. Raises MessageError: `short_reply`, `bad_hmac`."""
        del family
        try:
            return decode_reply(data, self._key)
        except MessageError:
            if self._key is None or self.also is None:
                raise
        return decode_reply(data, self.also)


def key_id(key: bytes | None) -> str | None:
    """A short name of a key, by which two ends see whether they have the same; it says nothing of the key itself."""
    return hmac.digest(key, b"linkweather key id", "sha256")[:4].hex() if key else None
