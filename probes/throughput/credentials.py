"""iperf3's authentication: one RSA key pair per daemon, one secret per test.

The client encrypts user name, password and time with the server's public key; the server compares
sha256("{user}password") with its list. Key pairs are made in a short-lived child process, so that
the daemon does not carry the cryptography package in its memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from linkweather import atomicfile
from linkweather.child_processes import without_raw_sockets
from linkweather.errors import OperatorError

log = logging.getLogger(__name__)

USER = "probe"
CLOCK_SKEW_S = 10
_MAKING_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A daemon's keys: the private one stays in its file."""

    private_path: Path
    public_pem: str


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client shows: the secret of one test, which it encrypts with the server's public key."""

    secret: str = field(repr=False)
    public_key_pem: str
    padding: tuple[str, ...] = ()
    user: str = USER


@dataclass(frozen=True, slots=True)
class Guard:
    """What a server asks for in one test."""

    keys: KeyPair
    secret: str = field(repr=False)
    padding: tuple[str, ...] = ()
    user: str = USER


def users_line(user: str, secret: str) -> str:
    """One line of iperf3's list of users."""
    return f"{user},{hashlib.sha256(f'{{{user}}}{secret}'.encode()).hexdigest()}\n"


async def key_pair(folder: Path) -> KeyPair:
    """The key pair of a folder, made at the first call and where it is damaged; peers get the public key at each test.

    Raises OperatorError where the folder cannot keep it.
    """
    private, public, digest = (folder / f"iperf3-{name}" for name in ("private.pem", "public.pem", "keys.sha256"))
    try:
        if not (private.exists() and public.exists() and _is_whole(private, public, digest)):
            _keep_private(folder)
            await _make(private, public)
            await asyncio.to_thread(atomicfile.replace, digest, _digest(private, public), mode=0o600)
        return KeyPair(private, public.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{folder}: cannot keep iperf3's keys there: {error}") from None


def _is_whole(private: Path, public: Path, digest: Path) -> bool:
    """Whether both keys are as they were made; damaged ones are set aside."""
    if not digest.exists():
        return False  # made by an earlier version: new ones cost a second
    if digest.read_bytes() == _digest(private, public).encode():
        return True
    aside = [atomicfile.set_aside(path).name for path in (private, public)]
    log.error("iperf3's keys in %s are damaged: they are set aside as %s, and new ones made", private.parent, aside)
    return False


def _digest(private: Path, public: Path) -> str:
    return hashlib.sha256(private.read_bytes() + public.read_bytes()).hexdigest()


def _keep_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # also where it was there before, and whatever the umask


async def _make(private: Path, public: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "probes.throughput.keygen", str(private), str(public)),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=without_raw_sockets,
    )
    try:
        async with asyncio.timeout(_MAKING_LIMIT_S):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise OperatorError(f"{private.parent}: cannot make iperf3's keys: {said.decode(errors='replace')[-200:]}")


@contextlib.contextmanager
def private_file(text: str, folder: Path | None = None) -> Iterator[Path]:
    """A file with this text that only we can read; it is deleted after the block."""
    number, name = tempfile.mkstemp(prefix="linkweather-iperf3-", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(number, "w", encoding="ascii") as file:
            file.write(text)
        yield path
    finally:
        path.unlink(missing_ok=True)
