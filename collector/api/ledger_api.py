"""The HTTP API's ledger, where every report and row went, and its sinks: how each is, and what it refused for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import FastAPI, Query

from collector.api.access import FORBIDDEN, guarded
from collector.api.api_requests import ApiError, without_folders
from collector.api.costly_questions import CostlyQuestions
from linkweather.models.ledger import LedgerAnswer, SetAsideAnswer, SinkAnswer
from linkweather.models.state import ErrorAnswer

LINES_MAX = 10_000


def add_ledger(app: FastAPI, answer: Callable[[str | None, int], LedgerAnswer], questions: CostlyQuestions) -> None:
    """Add the answer; `answer` takes the site and how many lines, and blocks for a moment."""

    @app.get("/api/v1/ledger")
    async def ledger(
        site: Annotated[str | None, Query(description="Of this site alone")] = None,
        limit: Annotated[int, Query(ge=1, le=LINES_MAX, description="So many outboxes at most")] = 1000,
    ) -> LedgerAnswer:
        """Where every report went: written, committed, waiting, dropped, refused or missing; and each sink's rows."""
        return await questions.ask("ledger", answer, site, limit)


Answered = TypeVar("Answered")
NO_SUCH_SINK: Mapping[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "There is no such sink"}}


class SinkSource(Protocol):
    """What answers. Every call blocks for a moment; those for a name raise KeyError where there is no such sink."""

    def sinks(self) -> Sequence[SinkAnswer]: ...  # noqa: D102

    def set_aside(self, name: str, limit: int) -> Sequence[SetAsideAnswer]: ...  # noqa: D102

    def retry(self, name: str) -> SinkAnswer: ...  # noqa: D102

    def drop(self, name: str) -> SinkAnswer: ...  # noqa: D102


def add_sinks(app: FastAPI, source: SinkSource, questions: CostlyQuestions) -> None:
    """Add the answers and the operations."""
    only: Any = {"dependencies": [guarded("what a sink refused")], "responses": {**FORBIDDEN, **NO_SUCH_SINK}}

    @app.get("/api/v1/sinks")
    async def sinks() -> Sequence[SinkAnswer]:
        """Every sink: the configured ones, and those removed for which the record still keeps rows."""
        found = await questions.ask("sinks", source.sinks)
        return [one.model_copy(update={"error": one.error and without_folders(one.error)}) for one in found]

    @app.get("/api/v1/sinks/{name}/set-aside", responses={**NO_SUCH_SINK})
    async def set_aside(name: str, limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> Sequence[SetAsideAnswer]:
        """The rows that the sink refused for good, the newest first."""
        return await _known(questions, name, source.set_aside, limit)

    @app.post("/api/v1/sinks/{name}/set-aside/retry", **only)
    async def retry(name: str) -> SinkAnswer:
        """Send again what is set aside, from now on, and end a wait after failures."""
        return await _known(questions, name, source.retry)

    @app.delete("/api/v1/sinks/{name}/set-aside", **only)
    async def drop(name: str) -> SinkAnswer:
        """Let go of what is set aside; of a removed sink, of everything that the record keeps for it."""
        return await _known(questions, name, source.drop)


async def _known(questions: CostlyQuestions, name: str, call: Callable[..., Answered], *more: Any) -> Answered:
    try:
        return await questions.ask("sinks", call, name, *more)
    except KeyError:
        raise ApiError(404, f"there is no sink {name!r}; `linkweather archive list` names them", "name") from None
