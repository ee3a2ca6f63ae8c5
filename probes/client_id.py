"""The name of a site's connection at its broker, which no other member of the mesh can guess.

Who connects under a client's name ends its connection, whoever it is: a broker checks users, and not these names. The
name stays the same, so that a connection after a crash ends the one before at once, and its will, `offline`, comes
before what this one says. A room of its own, as it is the daemon's alone and has a file.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from pathlib import Path

from linkweather import atomicfile

_KEPT = re.compile(r"[0-9a-f]{32}")


def client_id(site: str, folder: Path) -> str:
    """The site's name, kept in the data folder for its user alone; where that cannot be, of this run."""
    path = folder / "client-id"
    kept = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        kept = path.read_text(encoding="ascii").strip()
    if not _KEPT.fullmatch(kept):
        kept = secrets.token_hex(16)
        with contextlib.suppress(OSError):
            atomicfile.replace(path, f"{kept}\n", mode=0o600)
    return f"linkweather-{site}-{kept}"
