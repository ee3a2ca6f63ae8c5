"""Where a broker is. A module of its own, so that settings check a broker's URL without loading an MQTT client."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from linkweather.errors import OperatorError

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is: `mqtt://[user[:password]@]host[:port]`, `mqtts://…`, or `unix:///path`."""

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Name the broker for people, without its password."""
        return f"unix://{self.host}" if self.scheme == "unix" else f"{self.scheme}://{self.host}:{self.port}"


def parse_broker(url: str) -> Broker:
    """Parse a broker's URL. Raises OperatorError with the forms that are allowed."""
    wrong = OperatorError(f"broker = {url!r}: must be mqtt://host[:port], mqtts://host[:port] or unix:///path")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        return Broker("unix", unquote(parts.path), 0)
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in {"", "/"}:
        raise wrong
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return Broker(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], user, password)
