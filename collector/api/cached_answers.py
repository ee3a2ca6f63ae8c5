"""Long answers: encoded in a thread, once for all who ask within a second or some, and sent while they are encoded."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping

from starlette.responses import Response, StreamingResponse

from collector.api.costly_questions import question_threads

# An answer lasts so long where it took CHEAP_S of processor time or less; a dearer one in proportion, up to LASTS_MOST
# times as long: whoever asks without pause has each made for a tenth of a core.
LASTS_S, LASTS_MOST, CHEAP_S = 1.0, 5.0, 0.1
PIECE_BYTES = 256 * 1024
_threads = question_threads(2, "answer")
_tags = map(f'W/"{uuid.uuid4().hex[:12]}-{{}}"'.format, itertools.count())

# What is encoded, or what waits for it on the event loop.
Captured = Iterable[bytes] | Awaitable[Iterable[bytes]]


class EncodedAnswer:
    """An answer in pieces, as far as they are there: construction begins to take them in, in a thread."""

    def __init__(self, of: object, pieces: Captured, headers: Mapping[str, str]) -> None:
        self.of = of
        self.headers = {**headers, "ETag": next(_tags), "Cache-Control": "no-cache"}
        self.begun_at = _now()
        self.done = False
        self.took_s = 0.0
        self._pieces: list[bytes] = []
        self._grown = asyncio.Event()
        self._task = asyncio.create_task(self._encode(pieces), name="encode an answer")

    @property
    def size(self) -> int | None:
        """How many bytes it has; None while there may be more."""
        return sum(map(len, self._pieces)) if self.done else None

    @property
    def failed(self) -> bool:
        """Whether it broke off."""
        return self._task.done() and (self._task.cancelled() or self._task.exception() is not None)

    async def sent(self) -> AsyncIterator[bytes]:
        """The pieces, as they come. Raises what made the encoding fail."""
        for place in itertools.count():
            if not await self.has(place):
                return
            yield self._pieces[place]

    async def has(self, place: int) -> bool:
        """Wait for a piece; whether there is one. Raises what made the encoding fail."""
        while place >= len(self._pieces):
            if self.done:
                await self._task
                return False
            self._grown.clear()
            await self._grown.wait()
        return True

    async def _encode(self, pieces: Captured) -> None:
        loop = asyncio.get_running_loop()

        def encode(pieces: Iterable[bytes]) -> None:
            started = time.thread_time()
            for piece in _joined(pieces):
                loop.call_soon_threadsafe(self._grow, piece)
            self.took_s = time.thread_time() - started

        try:
            captured = await pieces if isinstance(pieces, Awaitable) else pieces
            await loop.run_in_executor(_threads, encode, captured)
        finally:
            self.done = True
            self._grown.set()

    def _grow(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._grown.set()


def lasts_s(took_s: float) -> float:
    """How long an answer lasts whose encoding took so much processor time."""
    return LASTS_S * min(max(1.0, took_s / CHEAP_S), LASTS_MOST)


class CachedAnswer:
    """One answer. `capture` is called on the event loop; what it returns is consumed in a thread, piece by piece.

    Answers `of` the same object are equal: they are not encoded, or sent, again. Others are let go of once they are too
    old: those about all links of 200 sites have 100 MB together.
    """

    def __init__(
        self,
        capture: Callable[[], Captured],
        media_type: str = "application/json",
        of: Callable[[], object] = object,
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`headers` are further ones, called after `capture`, but for what that has to wait for."""
        self._capture = capture
        self._headers = headers
        self._media_type = media_type
        self._of = of
        self._encoded: EncodedAnswer | None = None

    async def response(self, if_none_match: str | None) -> Response:
        """The answer, as old as `lasts_s` at most; 304 where the asker has it already."""
        encoded = self._newest()
        headers = dict(encoded.headers)
        if if_none_match is not None and headers["ETag"] in {tag.strip() for tag in if_none_match.split(",")}:
            return Response(status_code=304, headers=headers)
        await encoded.has(1)  # what is short comes with its length
        if encoded.size is not None:
            headers["Content-Length"] = str(encoded.size)
        return StreamingResponse(encoded.sent(), media_type=self._media_type, headers=headers)

    def _newest(self) -> EncodedAnswer:
        known = self._encoded
        if known is not None and not (known.done and _now() - known.begun_at >= lasts_s(known.took_s)):
            return known
        of = self._of()
        if known is None or known.failed or of is not known.of:
            known = self._encoded = EncodedAnswer(of, self._capture(), self._headers())
            asyncio.get_running_loop().call_later(LASTS_S, self._let_go, known)
        return known

    def _let_go(self, encoded: EncodedAnswer) -> None:
        left_s = lasts_s(encoded.took_s) - (_now() - encoded.begun_at)
        if left_s > 0 or not encoded.done:
            asyncio.get_running_loop().call_later(max(left_s, LASTS_S / 10), self._let_go, encoded)
        elif self._encoded is encoded and self._of() is not encoded.of:
            self._encoded = None


def _now() -> float:
    return asyncio.get_running_loop().time()


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Small pieces as one of PIECE_BYTES."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if len(waiting) >= PIECE_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)
