"""Long answers: one encoding for all who ask, sent as it is made."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from starlette.responses import Response, StreamingResponse

from collector.api import cached_answers
from collector.api.cached_answers import PIECE_BYTES, CachedAnswer, lasts_s

PIECE = b"x" * PIECE_BYTES


class Pieces:
    """An answer of three pieces, the last two of which wait until they may come."""

    def __init__(self) -> None:
        self.captures = 0
        self.may_go_on = threading.Event()
        self.fails = False

    def capture(self) -> Iterator[bytes]:
        self.captures += 1
        return self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        yield PIECE
        yield PIECE
        assert self.may_go_on.wait(60)
        if self.fails:
            raise ArithmeticError("broken")
        yield b"end"


async def body(response: Response) -> bytes:
    assert isinstance(response, StreamingResponse)
    return b"".join([piece async for piece in response.body_iterator if isinstance(piece, bytes)])


async def test_an_answer_is_sent_while_it_is_encoded_and_encoded_once_for_all_who_ask() -> None:
    pieces = Pieces()
    answer = CachedAnswer(pieces.capture)
    responses = [await answer.response(None), await answer.response('"other"')]
    assert [response.headers.get("content-length") for response in responses] == [None, None]
    assert isinstance(responses[0], StreamingResponse)
    assert await anext(aiter(responses[0].body_iterator)) == PIECE  # the end is still to come
    pieces.may_go_on.set()
    assert [len(await body(response)) for response in responses[1:]] == [2 * PIECE_BYTES + 3]
    assert pieces.captures == 1


async def test_who_has_an_answer_is_not_sent_it_even_while_it_is_encoded() -> None:
    pieces = Pieces()
    answer = CachedAnswer(pieces.capture)
    first = await answer.response(None)
    assert (await answer.response(f'"other", {first.headers["etag"]}')).status_code == 304
    pieces.may_go_on.set()
    assert len(await body(first)) == 2 * PIECE_BYTES + 3


async def test_a_short_answer_comes_with_its_length() -> None:
    response = await CachedAnswer(lambda: [b"[", b"]"]).response(None)
    assert response.headers["content-length"] == "2"
    assert await body(response) == b"[]"


async def test_an_answer_that_breaks_off_is_no_whole_one() -> None:
    pieces = Pieces()
    pieces.fails = True
    response = await CachedAnswer(pieces.capture).response(None)
    pieces.may_go_on.set()
    with pytest.raises(ArithmeticError, match="broken"):
        await body(response)


async def encoded(answer: CachedAnswer) -> str:
    """Ask for all of it; its tag."""
    response = await answer.response(None)
    with contextlib.suppress(ArithmeticError):
        await body(response)
    return response.headers["etag"]


@pytest.mark.parametrize(("fails", "same", "captures"), [(False, False, 2), (False, True, 1), (True, True, 2)])
async def test_what_is_too_old_is_encoded_again_unless_it_is_whole_and_of_the_same(
    monkeypatch: pytest.MonkeyPatch, *, fails: bool, same: bool, captures: int
) -> None:
    monkeypatch.setattr(cached_answers, "LASTS_S", 0.0)
    pieces = Pieces()
    pieces.fails = fails
    pieces.may_go_on.set()
    answer = CachedAnswer(pieces.capture, of=(lambda: pieces) if same else object)
    tags = {await encoded(answer), await encoded(answer)}
    assert (len(tags), pieces.captures) == (captures, captures)


def test_an_answer_lasts_ten_times_what_it_took_and_a_second_to_five() -> None:
    assert [lasts_s(took_s) for took_s in (0.0, 0.1, 0.3, 7.0)] == pytest.approx([1.0, 1.0, 3.0, 5.0])


async def test_a_dear_answer_is_not_made_again_as_soon_as_a_cheap_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_answers, "LASTS_S", 1e-6)
    for cheap_s, captures in ((1e3, 2), (1e-12, 1)):
        monkeypatch.setattr(cached_answers, "CHEAP_S", cheap_s)
        monkeypatch.setattr(cached_answers, "LASTS_MOST", 1e12)
        pieces = Pieces()
        pieces.may_go_on.set()
        answer = CachedAnswer(pieces.capture)
        await encoded(answer)
        await encoded(answer)
        assert pieces.captures == captures
