"""Long answers: encoded in a thread, once for all who ask within a second, and not sent again while they are equal."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from starlette.responses import Response, StreamingResponse

LASTS_S = 1.0
PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class EncodedAnswer:
    """An answer in pieces, and the tag that changes with it."""

    tag: str
    pieces: tuple[bytes, ...]

    @classmethod
    def of(cls, pieces: Iterable[bytes]) -> EncodedAnswer:
        """Join small pieces, and tag them all."""
        digest, joined, waiting = hashlib.blake2b(digest_size=12), [], bytearray()
        for piece in pieces:
            digest.update(piece)
            waiting += piece
            if len(waiting) >= PIECE_BYTES:
                joined.append(bytes(waiting))
                waiting.clear()
        return cls(f'W/"{digest.hexdigest()}"', (*joined, bytes(waiting)))


class CachedAnswer:
    """One answer. `capture` is called on the event loop; what it returns is consumed in a thread, piece by piece."""

    def __init__(self, capture: Callable[[], Iterable[bytes]], media_type: str = "application/json") -> None:
        self._capture = capture
        self._media_type = media_type
        self._encoding: asyncio.Task[EncodedAnswer] | None = None
        self._begun_at = 0.0

    async def response(self, if_none_match: str | None) -> Response:
        """The answer, at most LASTS_S old; 304 where the asker has it already."""
        encoded = await self._encoded()
        headers = {"ETag": encoded.tag, "Cache-Control": "no-cache"}
        if if_none_match is not None and encoded.tag in {tag.strip() for tag in if_none_match.split(",")}:
            return Response(status_code=304, headers=headers)
        headers["Content-Length"] = str(sum(map(len, encoded.pieces)))
        return StreamingResponse(_sent(encoded.pieces), media_type=self._media_type, headers=headers)

    async def _encoded(self) -> EncodedAnswer:
        now = time.monotonic()
        if self._encoding is None or (self._encoding.done() and now - self._begun_at >= LASTS_S):
            self._begun_at = now
            encoding = asyncio.to_thread(EncodedAnswer.of, self._capture())
            self._encoding = asyncio.create_task(encoding, name="encode an answer")
        return await asyncio.shield(self._encoding)


async def _sent(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
