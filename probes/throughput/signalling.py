"""Sends what the two ends of a throughput test say to each other, and hands each answer to the test that awaits it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from linkweather.wire import Answer, Invite, Served, encode, topics
from probes.throughput.invitation import DISTURBED
from probes.throughput.time_limits import limit_s


@dataclass(frozen=True, slots=True)
class PendingTest:
    """A test that is under way: with which peer, the answer that we await, and the peer's report after the test."""

    id: str
    peer: str
    rtt_s: float | None
    answer: asyncio.Future[Answer]
    report: asyncio.Future[Answer]

    async def served(self) -> Served | None:
        """What the source saw of the test; None when it does not say so in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s("served", self.rtt_s)):
                return (await self.report).served
        return None

    async def disturbed(self) -> bool:
        """Whether the source says that a third party got hold of its server."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s("served", self.rtt_s)):
                return (await self.report).reason == DISTURBED
        return False


class Signalling:
    """The messages of `site`. A message that cannot be sent in time counts as lost: no test waits for it longer."""

    def __init__(self, site: str, publish: Callable[[str, bytes], Awaitable[bool]]) -> None:
        self._site = site
        self._publish = publish
        self._pending: dict[str, PendingTest] = {}

    def handle_answer(self, from_site: str, answer: Answer) -> None:
        """Take an answer in; one that no test awaits, or no longer, is ignored."""
        pending = self._pending.get(answer.id)
        if pending is None or pending.peer != from_site:
            return
        after_test = answer.served is not None or (answer.reason == DISTURBED and pending.answer.done())
        awaited = pending.report if after_test else pending.answer
        if not awaited.done():
            awaited.set_result(answer)

    @contextlib.contextmanager
    def pending(self, peer: str, test_id: str, rtt_s: float | None) -> Iterator[PendingTest]:
        """Await the peer's answers about a test while the block runs; `rtt_s` is the RTT to the peer, if known."""
        loop = asyncio.get_running_loop()
        test = PendingTest(test_id, peer, rtt_s, loop.create_future(), loop.create_future())
        self._pending[test_id] = test
        try:
            yield test
        finally:
            del self._pending[test_id]

    async def invite(self, test: PendingTest, invite: Invite) -> Answer | None:
        """Invite the peer; its answer, None where the broker is away. Raises TimeoutError when none comes."""
        async with asyncio.timeout(limit_s("offer", test.rtt_s)):
            if not await self._publish(topics.invite(test.peer, self._site), encode(invite)):
                return None
            return await test.answer

    async def accept(self, test: PendingTest, accepted: Answer) -> Answer | None:
        """Accept to call the peer; its answer, which says where, None when none comes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s("offer", test.rtt_s)):
                if await self.answer(test.peer, accepted):
                    return await test.answer
        return None

    async def answer(self, to: str, answer: Answer) -> bool:
        """Send an answer; whether the broker has it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s("answer", None)):
                return await self._publish(topics.answer(to, self._site), encode(answer))
        return False
