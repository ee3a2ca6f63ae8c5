"""The mesh's key for authenticated STAMP: its file, one key or two, and how it is changed without a probe lost.

Whoever has the file signs with the key of its first line, and accepts that of the second as well. So a key is changed
in three steps, each of which reaches every site before the next: the next key is accepted, then it signs and the one
before is accepted, then the one before is gone.
"""

from __future__ import annotations

import re
import secrets
import stat
from pathlib import Path
from typing import Final

from linkweather.errors import OperatorError

NEXT: Final = "next"
PREVIOUS: Final = "previous"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_KEY = re.compile(rf"([0-9a-fA-F]{{64}})(?:\s+(?:{NEXT}|{PREVIOUS}))?")
_MOST = 2
_DIGITS = "must hold 64 hexadecimal digits: `openssl rand -hex 32` makes them"


def new_text() -> str:
    """The text of a file with a new key alone."""
    return f"{secrets.token_hex(32)}\n"


def rotated(text: str) -> tuple[str, str]:
    """The text for the next of the three steps, and what it is, as a sentence."""
    lines = text.split("\n")
    first, second = lines[0].strip(), lines[1].split() if len(lines) > 1 else []
    if not second:
        return f"{first}\n{secrets.token_hex(32)} {NEXT}\n", "sites accept a next key, too"
    if NEXT in second:
        return f"{second[0]}\n{first} {PREVIOUS}\n", "the next key signs now, and the one before is accepted"
    return f"{first}\n", "the previous key is gone"


def parse(text: str) -> tuple[bytes, ...]:
    """The keys of a file, 32 octets each; the first one signs. Raises ValueError."""
    found = [_KEY.fullmatch(line.strip()) for line in text.strip().splitlines()]
    if not 1 <= len(found) <= _MOST or not all(found):
        raise ValueError(_DIGITS)
    return tuple(bytes.fromhex(match[1]) for match in found if match)


def read_keys(path: Path) -> tuple[bytes, ...]:
    """The keys of a file, the first one signs. Raises OperatorError, also when others may read it."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise OperatorError(f"key file {path}: cannot be read: {error.strerror}") from None
    if mode & _OTHERS:
        raise OperatorError(f"key file {path}: must be its owner's alone: run `chmod 600 {path}`")
    try:
        return parse(text)
    except ValueError as error:
        raise OperatorError(f"key file {path}: {error}") from None
