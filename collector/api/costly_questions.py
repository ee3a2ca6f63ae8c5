"""Questions that read much of the record: of each kind one at a time, in threads apart from commits, and few wait.

Each has a time limit. A caller is refused, with the time to try again, where too many wait before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import ParamSpec, TypeVar

from collector.api.api_requests import ApiError
from linkweather.containment import note_overflow
from linkweather.errors import QueryTimeError

THREADS = 2
WAITING_MAX = 16  # of a kind
WAIT_S = 10.0
TIME_LIMIT_S = 15.0
RETRY_AFTER_S = 5
_NICE = 5  # commits and the event loop come first

Asked = ParamSpec("Asked")
Answered = TypeVar("Answered")


def question_threads(count: int, name: str) -> ThreadPoolExecutor:
    """Threads that give way to those that commit and to the event loop's."""

    def give_way() -> None:
        thread = threading.get_native_id()  # Linux: the priority is of the thread alone
        nicer = max(_NICE, os.getpriority(os.PRIO_PROCESS, thread))  # who runs all of it nicer may not go back
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, nicer)

    return ThreadPoolExecutor(count, name, initializer=give_way)


class CostlyQuestions:
    """Asks them. `time_limit` is a block in which the record's queries may take so many seconds."""

    def __init__(
        self,
        time_limit: Callable[[float], AbstractContextManager[object]] = nullcontext,
        *,
        limit_s: float = TIME_LIMIT_S,
        wait_s: float = WAIT_S,
    ) -> None:
        self._time_limit = time_limit
        self._limit_s = limit_s
        self._wait_s = wait_s
        self._threads = question_threads(THREADS, "question")
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: Counter[str] = Counter()

    async def ask(
        self, kind: str, question: Callable[Asked, Answered], *args: Asked.args, **kwargs: Asked.kwargs
    ) -> Answered:
        """The answer of `question`, which blocks, when its turn has come. Raises ApiError 429 and 503, and its own."""
        turn = self._turns[kind]
        await self._wait(kind, turn)
        call = functools.partial(self._limited, functools.partial(question, *args, **kwargs))
        asked = asyncio.get_running_loop().run_in_executor(self._threads, call)
        asked.add_done_callback(lambda _: turn.release())  # and not when its caller has left: the thread works on
        try:
            return await asyncio.shield(asked)
        except QueryTimeError as error:
            note_overflow("time of questions")
            raise _later(503, f"the question {error}: ask for a shorter span, or later") from None

    async def finish(self) -> None:
        """Wait for those that are under way; none begins after it."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def _wait(self, kind: str, turn: asyncio.Lock) -> None:
        if self._waiting[kind] >= WAITING_MAX:
            note_overflow("questions")
            raise _later(429, f"{WAITING_MAX} questions of this kind wait already: try again later")
        self._waiting[kind] += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await turn.acquire()
        except TimeoutError:
            note_overflow("questions")
            raise _later(503, "questions of this kind take too long now: try again later") from None
        finally:
            self._waiting[kind] -= 1

    def _limited(self, call: Callable[[], Answered]) -> Answered:
        with self._time_limit(self._limit_s):
            return call()


def _later(status: int, sentence: str) -> ApiError:
    return ApiError(status, sentence, headers={"Retry-After": str(RETRY_AFTER_S)})
