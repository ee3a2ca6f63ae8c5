"""Costly questions over real HTTP, to a real DuckDB: one at a time, few wait, none takes for ever, no commit waits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from collector.api.api_requests import answer_errors
from collector.api.costly_questions import RETRY_AFTER_S, WAITING_MAX, CostlyQuestions
from collector.ingest.ingest import Ingest
from collector.store.database import Database
from collector.store.journal import Journal
from linkweather.containment import overflows
from linkweather.errors import QueryTimeError
from linkweather.wire import encode, topics
from tests.collector.report_samples import latency
from tests.waiting import until

FOR_EVER = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range % 7 = 3"


class BlockedQuestion:
    """A question that is answered when `free` is set; `at_once` is how many were ever under way together."""

    def __init__(self) -> None:
        self.free, self.begun = threading.Event(), threading.Semaphore(0)
        self.under_way = self.at_once = 0

    def __call__(self) -> str:
        self.under_way += 1
        self.at_once = max(self.at_once, self.under_way)
        self.begun.release()
        assert self.free.wait(60)
        self.under_way -= 1
        return "answered"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.duckdb")
    yield journal
    journal.close()


@pytest.fixture
async def blocked() -> AsyncIterator[BlockedQuestion]:
    question = BlockedQuestion()
    yield question
    question.free.set()


def client_of(questions: CostlyQuestions, **kinds: object) -> httpx.AsyncClient:
    app = FastAPI()
    answer_errors(app)

    @app.get("/{kind}")
    async def ask(kind: str) -> str:
        return str(await questions.ask(kind, kinds[kind]))  # type: ignore[arg-type]

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", timeout=60)


def endless(database: Database) -> list[tuple[object, ...]]:
    return database.rows(FOR_EVER)


async def test_a_kind_has_one_question_under_way_and_a_few_that_wait(blocked: BlockedQuestion) -> None:
    refused_before = overflows().get("questions", 0)
    questions = CostlyQuestions()
    async with client_of(questions, judge=blocked, history=lambda: "at once") as http:
        first = [asyncio.create_task(http.get("/judge")) for _ in range(1 + WAITING_MAX)]
        await asyncio.to_thread(blocked.begun.acquire, timeout=60)
        await until(lambda: questions._waiting["judge"] == WAITING_MAX)
        refused = await http.get("/judge")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, str(RETRY_AFTER_S))
        assert (await http.get("/history")).json() == "at once"  # another kind does not wait
        blocked.free.set()
        assert [answer.status_code for answer in await asyncio.gather(*first)] == [200] * (1 + WAITING_MAX)
    assert (blocked.at_once, overflows()["questions"] - refused_before) == (1, 1)


async def test_who_has_waited_too_long_is_told_when_to_come_back(blocked: BlockedQuestion) -> None:
    async with client_of(CostlyQuestions(wait_s=0.05), judge=blocked) as http:
        first = asyncio.create_task(http.get("/judge"))
        await asyncio.to_thread(blocked.begun.acquire, timeout=60)
        late = await http.get("/judge")
        assert (late.status_code, late.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
        blocked.free.set()
        assert (await first).json() == "answered"


async def test_a_question_that_duckdb_would_answer_for_ever_ends_at_its_time(journal: Journal) -> None:
    questions = CostlyQuestions(journal.database.time_limit, limit_s=0.2)
    async with client_of(questions, judge=lambda: endless(journal.database), ledger=lambda: "next") as http:
        answer = await http.get("/judge")
        assert answer.status_code == 503
        assert answer.json()["error"] == "the question took longer than 0.2 s: ask for a shorter span, or later"
        assert (await http.get("/judge")).status_code == 503  # its turn came again
        assert (await http.get("/ledger")).json() == "next"
    await questions.finish()


def test_only_the_thread_with_a_limit_is_interrupted(journal: Journal) -> None:
    with pytest.raises(QueryTimeError), journal.database.time_limit(0.1):
        endless(journal.database)
    with journal.database.time_limit(60):
        assert journal.database.rows("SELECT 1") == [(1,)]
    assert journal.database.rows("SELECT count(*) FROM range(3000000)") == [(3_000_000,)]


async def test_a_commit_waits_for_no_question(journal: Journal) -> None:
    """As many threads as the loop lends are taken, as 12 × `/judge` took them."""
    committed, free = asyncio.Event(), threading.Event()

    async def publish(_topic: str, _payload: bytes) -> bool:
        committed.set()
        return True

    ingest = Ingest(journal, publish=publish, now=lambda: datetime.now(UTC))
    running = asyncio.create_task(ingest.run())
    questions = [asyncio.create_task(asyncio.to_thread(free.wait, 60)) for _ in range(64)]
    try:
        await asyncio.sleep(0)
        ingest.handle(topics.report("a", "latency"), encode(latency(1)))
        async with asyncio.timeout(30):
            await committed.wait()
        assert not free.is_set()
    finally:
        free.set()
        await asyncio.gather(*questions)
        running.cancel()
        await asyncio.wait([running])
        await ingest.finish()


_NICER = """
import os, threading
from collector.api.costly_questions import question_threads
os.nice(12)
with question_threads(1, "question") as threads:
    print(threads.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result())
"""


def test_a_collector_that_runs_nicer_than_its_questions_goes_on_answering() -> None:
    """Without a privilege no thread may go back; systemd's Nice= and nice(1) start it so."""
    said = subprocess.run([sys.executable, "-c", _NICER], capture_output=True, text=True, check=True).stdout
    assert int(said) >= 12
