"""What a new site fetches, once: its settings, certificate and keys, sealed by the secret of its token.

Until then it waits in a folder: a file a bundle, named by the token's id and the second when it ends.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken
from pydantic import ValidationError

from linkweather import atomicfile
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


_NAME: Final = re.compile(r"([0-9a-f]{24})\.(\d{1,12})\.([a-z0-9-]{1,32})")


class Enrolments:
    """A folder of sealed bundles. Every method raises OSError where the folder cannot be used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, token_id: str, site: str, sealed: bytes, *, until_s: float) -> Path:
        """Keep a bundle for a token until a time (Unix seconds); earlier ones of the site end."""
        self.forget(site)
        path = self._folder / f"{token_id}.{int(until_s)}.{site}"
        atomicfile.replace(path, sealed, mode=0o640)
        return path

    def take(self, token_id: str, now_s: float) -> tuple[Path, bytes] | None:
        """The file and the bundle of a token that has not ended; whoever has sent it removes the file."""
        for path, found, until_s, _ in self._waiting():
            if until_s < now_s:
                path.unlink(missing_ok=True)
            elif found == token_id:
                with contextlib.suppress(FileNotFoundError):
                    return path, path.read_bytes()
        return None

    def forget(self, site: str) -> None:
        """End every token of a site."""
        for path, _, _, its in self._waiting():
            if its == site:
                path.unlink(missing_ok=True)

    def sites(self, now_s: float) -> dict[str, float]:
        """The sites whose token waits, with the seconds that are left."""
        return {site: until_s - now_s for _, _, until_s, site in self._waiting() if until_s >= now_s}

    def _waiting(self) -> Iterator[tuple[Path, str, int, str]]:
        for path in sorted(self._folder.iterdir()):
            name = _NAME.fullmatch(path.name)
            if name:
                yield path, name[1], int(name[2]), name[3]
