"""Where a collector's API is: at a URL, or at the Unix socket in its data folder, which is its own user's alone.

A room of its own, as the collector makes what the clients look for.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_API = "http://127.0.0.1:8484"
_PORTS = {"http": 80, "https": 443}
_SOCKETS = Path("/proc/net/unix")  # a line each; the eighth field is the path


def socket_name(port: int) -> str:
    """The name, in the data folder, of the socket of the collector that answers at this port."""
    return f"api-{port}.sock"


def socket_of(api: str) -> Path | None:
    """The socket of `unix:///path`; None for any other URL."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(api)
        if parts.scheme == "unix" and parts.path and not parts.netloc:
            return Path(parts.path)
    return None


def local_api(api: str) -> str:
    """`unix:///path` of the collector that answers at this URL, where it runs on this machine and lets us in; or api.

    Root is let in everywhere, and takes a socket only where there is no other one of this name.
    """
    try:
        parts = urlsplit(api)
        port = parts.port or _PORTS[parts.scheme]
        host = parts.hostname or ""
        if not (host == "localhost" or ipaddress.ip_address(host).is_loopback):
            return api
    except (KeyError, ValueError):
        return api
    found = {path for path in _listening(socket_name(port)) if _owner(path) >= 0 and os.geteuid() in {0, _owner(path)}}
    return f"unix://{found.pop()}" if len(found) == 1 else api


def _listening(name: str) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for line in _SOCKETS.read_text(errors="replace").splitlines():
            fields = line.split(maxsplit=7)
            if len(fields) == 8 and fields[7].startswith("/") and fields[7].endswith(f"/{name}"):
                yield Path(fields[7])


def _owner(path: Path) -> int:
    with contextlib.suppress(OSError):
        found = path.lstat()
        if stat.S_ISSOCK(found.st_mode):
            return found.st_uid
    return -1
