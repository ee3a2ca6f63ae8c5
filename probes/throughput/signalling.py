"""What the two ends of a throughput test say to each other: sends it, and hands answers to who waits for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from linkweather.wire import Answer, Invite, Served, encode, topics

ANSWER_LIMIT_S = 1.5
SERVED_LIMIT_S = 1.0  # a peer that does not tell what it saw keeps nobody waiting


@dataclass(frozen=True, slots=True)
class PendingTest:
    """A test that is under way: with whom, the answer that we wait for, and what the peer tells after the test."""

    id: str
    peer: str
    answer: asyncio.Future[Answer]
    told: asyncio.Future[Answer]

    async def served(self) -> Served | None:
        """What the source tells of the test; None when it does not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SERVED_LIMIT_S):
                return (await self.told).served
        return None


class Signalling:
    """The messages of `site`. What cannot be sent in time is as good as lost: a test does not wait for it."""

    def __init__(self, site: str, publish: Callable[[str, bytes], Awaitable[bool]]) -> None:
        self._site = site
        self._publish = publish
        self._asked: dict[str, PendingTest] = {}

    def handle_answer(self, from_site: str, answer: Answer) -> None:
        """Take an answer in; one that we do not wait for, or no longer, is ignored."""
        asked = self._asked.get(answer.id)
        if asked is None or asked.peer != from_site:
            return
        waiting = asked.answer if answer.served is None else asked.told
        if not waiting.done():
            waiting.set_result(answer)

    @contextlib.contextmanager
    def asking(self, peer: str, test_id: str) -> Iterator[PendingTest]:
        """Wait for the peer's answers about a test, for as long as the block runs."""
        loop = asyncio.get_running_loop()
        asked = self._asked[test_id] = PendingTest(test_id, peer, loop.create_future(), loop.create_future())
        try:
            yield asked
        finally:
            del self._asked[test_id]

    async def invite(self, asked: PendingTest, invite: Invite) -> Answer | None:
        """Invite the peer; its answer, None where the broker is away. Raises TimeoutError when it gives none."""
        async with asyncio.timeout(ANSWER_LIMIT_S):
            if not await self._publish(topics.invite(asked.peer, self._site), encode(invite)):
                return None
            return await asked.answer

    async def accept(self, asked: PendingTest, accepted: Answer) -> Answer | None:
        """Accept to call the peer; its answer, which says where, None when it gives none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_LIMIT_S):
                if await self.answer(asked.peer, accepted):
                    return await asked.answer
        return None

    async def answer(self, to: str, answer: Answer) -> bool:
        """Send an answer; whether the broker has it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_LIMIT_S):
                return await self._publish(topics.answer(to, self._site), encode(answer))
        return False
