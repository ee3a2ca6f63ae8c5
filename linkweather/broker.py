"""Where a broker is, and who we are there. A module of its own: settings check it without loading an MQTT client."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import field_validator, model_validator

from linkweather.errors import OperatorError
from linkweather.mesh import FilePath, Settings
from linkweather.plain_text import redacted

_PORTS = {"mqtt": 1883, "mqtts": 8883}
FORMS = "mqtt://host[:port], mqtts://host[:port] or unix:///path"
LOCAL = "mqtt://127.0.0.1:1883"
_PASSWORD = "without a password, which belongs in a file, password_file"  # noqa: S105 - a sentence


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is, and who we are there; the files are read at each connection."""

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    password_file: Path | None = None

    def __str__(self) -> str:
        """Name the broker for people, without its password."""
        return f"unix://{self.host}" if self.scheme == "unix" else f"{self.scheme}://{self.host}:{self.port}"


class BrokerSettings(Settings):
    """Where the broker is, by its URL alone or by a table.

    `ca_file` has the authorities that are trusted, the system's without it; `cert_file` and `key_file` are our own
    certificate, `username` and the `password_file` (its first line) our name there, where it asks for one.
    """

    url: str = LOCAL
    username: str | None = None
    password_file: FilePath | None = None
    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None

    @classmethod
    def checked(cls, url: str) -> str:
        """A URL that is allowed here. Raises ValueError that says which are."""
        parts = _parts(url)
        if parts is None:
            raise ValueError(FORMS)
        if parts.password is not None:
            raise ValueError(_PASSWORD)
        return url

    @model_validator(mode="before")
    @classmethod
    def _of_url(cls, value: Any) -> Any:
        return {"url": cls.checked(value)} if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        return cls.checked(value)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file: either both or none")
        if (self.ca_file or self.cert_file) and not self.url.startswith("mqtts:"):
            raise ValueError("ca_file and cert_file: are for TLS, with url = mqtts://host[:port]")
        return self

    @property
    def address(self) -> Broker:
        """The same, taken apart."""
        files = self.model_dump(exclude={"url", "username"})
        broker = replace(parse_broker(self.url), **files)
        return replace(broker, username=self.username) if self.username else broker

    def below(self, folder: Path) -> Self:
        """The same with paths resolved against `folder`."""
        files = {name: folder / path for name, path in self.model_dump().items() if isinstance(path, Path)}
        return self.model_copy(update=files)


def parse_broker(url: str) -> Broker:
    """Parse a broker's URL, `mqtt://[user@]host[:port]`. Raises OperatorError, which never shows a password.

    A password in a URL is in process lists and logs: it is refused.
    """
    parts = _parts(url)
    if parts is None:
        raise OperatorError(f"broker = {redacted(url)!r}: must be {FORMS}")
    if parts.password is not None:
        raise OperatorError(f"broker = {redacted(url)!r}: must be {_PASSWORD}")
    if parts.scheme == "unix":
        return Broker("unix", unquote(parts.path), 0)
    user = unquote(parts.username) if parts.username else None
    return Broker(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme], user)


def _parts(url: str) -> SplitResult | None:
    """A URL of a broker, taken apart; None for another text."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme == "unix":
        return parts if parts.path and not parts.netloc else None
    return parts if parts.scheme in _PORTS and parts.hostname and parts.path in {"", "/"} else None
