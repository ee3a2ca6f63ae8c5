"""What a new site fetches, once: its settings, certificate and keys, sealed by the secret of its token. Pure."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from cryptography.fernet import Fernet, InvalidToken
from pydantic import ValidationError

from linkweather.errors import OperatorError
from linkweather.mesh.mesh_fields import Settings, SiteId

MOST_BYTES: Final = 64 * 1024


class SiteBundle(Settings):
    """All that a probe needs to take part. `files` are those of /etc/linkweather that hold secrets, by name."""

    site: SiteId
    broker: str  # its URL
    files: dict[str, str]
    mesh_name: str
    udp_port: int  # where this site answers latency probes
    peers: tuple[str, ...]  # addresses of the other sites, for the firewall's rules


def seal(bundle: SiteBundle, secret: bytes) -> bytes:
    """The bundle, to be opened by the secret alone."""
    return Fernet(_key(secret)).encrypt(bundle.model_dump_json().encode())


def unseal(sealed: bytes, secret: bytes) -> SiteBundle:
    """Raises OperatorError for what the secret does not open, or a newer linkweather made."""
    try:
        return SiteBundle.model_validate_json(Fernet(_key(secret)).decrypt(sealed))
    except InvalidToken:
        raise OperatorError("what the collector sent does not open with this token: make a new one there") from None
    except ValidationError:
        raise OperatorError("the collector's linkweather is newer than this one: update it here") from None


def _key(secret: bytes) -> bytes:
    return base64.urlsafe_b64encode(hashlib.sha256(b"linkweather enrolment" + secret).digest())
