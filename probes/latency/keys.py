"""Reads the key of authenticated STAMP from its file."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from linkweather.errors import OperatorError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_KEY = re.compile(r"[0-9a-fA-F]{64}")


def read_key(path: Path) -> bytes:
    """The 32 octets of a file with 64 hexadecimal digits. Raises OperatorError, also when others may read it."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise OperatorError(f"key file {path}: cannot be read: {error.strerror}") from None
    if mode & _OTHERS:
        raise OperatorError(f"key file {path}: must be its owner's alone: run `chmod 600 {path}`")
    if not _KEY.fullmatch(text):
        raise OperatorError(f"key file {path}: must hold 64 hexadecimal digits: `openssl rand -hex 32` makes them")
    return bytes.fromhex(text)
