"""A site's part of the mesh on its way: whose it is, cut into retained messages, and put together whole or not at all.

A collector's mesh message and its `committed` name its journal. A site follows the journal of the first mesh that it
gets, for good: what another one has committed is not in the record that the site's reports belong to. A collector that
takes the place of another says so: its mesh names the journals that it `replaces`.

The head names the digest of the part, so a site knows when it has all of it, whatever comes first, and whoever died
between two messages.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field

from linkweather.mesh import Description
from linkweather.wire.fields import Name
from linkweather.wire.messages import Message

ReplacedJournals = Annotated[tuple[Name, ...], Field(max_length=64)]


class MeshOrigin(Message):
    """Whose mesh it is that a collector publishes."""

    journal: Name | None = None
    replaces: ReplacedJournals = ()


class PublishedMesh(MeshOrigin):
    """What every site hears of the mesh: its name, and that its collector has come, or come back."""

    name: Description = "mesh"


def followed(present: str | None, origin: MeshOrigin) -> str | None:
    """The journal that a site follows once it has this mesh: another than `present` only if it replaces that one.

    A collector of before journals had names has None, and is followed by a site that follows none.
    """
    return origin.journal if present is None or present in origin.replaces else present


MOST_PARTS = 10_000
# Of one message, where the broker names no limit of its own.
MOST_BYTES = 1_000_000


class MeshHead(MeshOrigin):
    """What a site's part of the mesh is: in how many messages, with which digest, and of which journal's collector."""

    version: Name
    parts: Annotated[int, Field(ge=1, le=MOST_PARTS)]


def version_of(payload: bytes) -> str:
    """The digest of a part."""
    return hashlib.sha256(payload).hexdigest()[:32]


def cut(payload: bytes, max_bytes: int | None) -> list[bytes]:
    """A part in messages of at most `max_bytes`; None is the default limit. At least one."""
    most = MOST_BYTES if max_bytes is None else max(1, min(max_bytes, MOST_BYTES))
    return [payload[start : start + most] for start in range(0, len(payload), most)] or [b""]


class MeshAssembly:
    """What has come of a site's part. Each method returns the whole as soon as, and whenever, all of it is there."""

    def __init__(self) -> None:
        self._head: MeshHead | None = None
        self._parts: dict[int, bytes] = {}

    def take_head(self, head: MeshHead) -> bytes | None:
        """Take in the head."""
        self._head = head
        return self._whole()

    def take_part(self, number: str, payload: bytes) -> bytes | None:
        """Take in one of the messages, by the last level of its topic; an impossible one is ignored."""
        if not number.isascii() or not number.isdigit() or len(number) > len(str(MOST_PARTS)):
            return None
        if int(number) < MOST_PARTS:
            self._parts[int(number)] = payload
        return self._whole()

    def _whole(self) -> bytes | None:
        if self._head is None:
            return None
        numbers = range(self._head.parts)
        if any(number not in self._parts for number in numbers):
            return None
        whole = b"".join(self._parts[number] for number in numbers)
        return whole if version_of(whole) == self._head.version else None
