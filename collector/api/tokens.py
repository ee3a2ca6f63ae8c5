"""The tokens of the API: what admits programs of other users and other machines, for reading or for writing.

The file in the data folder has no token, only the SHA-256 of each: a token is 256 random bits, so that nothing slower
is needed against guessing. When each was last used is in a file of its own, which the collector alone writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from linkweather import atomicfile
from linkweather.errors import OperatorError
from linkweather.mesh import Settings

log = logging.getLogger(__name__)

TokenScope = Literal["read", "write"]
TOKEN_PREFIX = "lw_"  # noqa: S105 – what scanners for lost secrets can look for
MOST_TOKENS = 1000
WRITE_EVERY_S = 60.0
_BYTES = 32
_TOKENS, _USED = "tokens.json", "tokens-used.json"


class ApiToken(Settings):
    """One token; writing includes reading."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    scope: TokenScope
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created_at: AwareDatetime


_LISTED = TypeAdapter(Annotated[list[ApiToken], Field(max_length=MOST_TOKENS)])
_MOMENTS = TypeAdapter(dict[str, AwareDatetime])


class TokenFile:
    """The tokens of a data folder. Whoever changes the file is followed at once: it is looked at for each question."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _TOKENS
        self._used_path = folder / _USED
        self._stamp: tuple[int, int, int] | None = None
        self._known: Mapping[str, ApiToken] = {}
        self._unreadable = False
        self._used: dict[str, datetime] = {}
        self._unwritten = False

    def tokens(self) -> list[ApiToken]:
        """All tokens, in the order of the file. Raises OperatorError where it cannot be read."""
        try:
            return _LISTED.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValidationError) as error:
            what = error.strerror if isinstance(error, OSError) else "is no file of tokens"
            raise OperatorError(f"{self._path}: {what}: mend it, or remove it and add the tokens anew") from None

    def used(self) -> Mapping[str, datetime]:
        """When each token was last used, to the minute."""
        with contextlib.suppress(OSError, ValidationError):
            return _MOMENTS.validate_json(self._used_path.read_bytes())
        return {}

    def add(self, name: str, scope: TokenScope, now: datetime) -> str:
        """Make a token, which is nowhere but in what is returned. Raises OperatorError."""
        text = TOKEN_PREFIX + secrets.token_urlsafe(_BYTES)
        try:
            token = ApiToken(name=name, scope=scope, sha256=_hashed(text), created_at=now)
        except ValidationError:
            raise OperatorError(f"{name!r}: must be 1 to 63 of A–Z, a–z, 0–9, '.', '_' and '-'") from None
        with atomicfile.changing(self._path.parent):
            found = self.tokens()
            if name in {one.name for one in found}:
                raise OperatorError(f"{name!r}: there is a token of this name: revoke it first, or choose another name")
            if len(found) >= MOST_TOKENS:
                raise OperatorError(f"there are {MOST_TOKENS} tokens: revoke some first")
            self._write([*found, token])
        return text

    def revoke(self, name: str) -> None:
        """Let a token in no more. Raises OperatorError where there is none of this name."""
        with atomicfile.changing(self._path.parent):
            found = self.tokens()
            left = [one for one in found if one.name != name]
            if len(left) == len(found):
                names = ", ".join(one.name for one in found) or "none"
                raise OperatorError(f"{name!r}: no such token; there are {names}")
            self._write(left)

    def scope_of(self, text: str, now: datetime) -> TokenScope | None:
        """What a token is for; None for one that is none of ours."""
        self._look()
        token = self._known.get(_hashed(text))
        if token is None:
            return None
        self._used[token.name] = now
        self._unwritten = True
        return token.scope

    @property
    def reading_needs_one(self) -> bool:
        """Whether there is a token for reading; so where the file cannot be read, as it may have had one."""
        self._look()
        return self._unreadable or any(one.scope == "read" for one in self._known.values())

    @property
    def any(self) -> bool:
        """Whether there is any token."""
        self._look()
        return bool(self._known)

    async def run(self, every_s: float = WRITE_EVERY_S) -> None:
        """Keep when tokens were last used, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await asyncio.to_thread(self.write_used)

    def write_used(self) -> None:
        """Write when tokens were last used, where one was. Where the disk fails it is tried again."""
        if not self._unwritten:
            return
        self._unwritten = False
        names = {one.name for one in self._known.values()}
        moments = {name: at for name, at in {**self.used(), **self._used}.items() if name in names}
        try:
            atomicfile.replace(self._used_path, _MOMENTS.dump_json(moments), mode=0o600)
        except OSError:
            self._unwritten = True

    def _look(self) -> None:
        """Read the file again where it is another."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._known = {one.sha256: one for one in self.tokens()}
            self._unreadable = False
        except OperatorError as error:
            self._known, self._unreadable = {}, True
            log.error("%s; no token is let in until then", error)

    def _write(self, tokens: list[ApiToken]) -> None:
        try:
            atomicfile.replace(self._path, _LISTED.dump_json(tokens, indent=1), mode=0o600)
            if os.geteuid() == 0:  # the collector's user, who owns the folder, must be able to read it
                owner = self._path.parent.stat()
                os.chown(self._path, owner.st_uid, owner.st_gid)
        except OSError as error:
            raise OperatorError(f"{self._path}: cannot be written: {error.strerror}") from None


def now_utc() -> datetime:
    """The time that tokens are stamped with."""
    return datetime.now(UTC)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
