"""The HTTP API's ledger: where every report and row went. A room of its own, as its source blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, Query

from collector.api.costly_questions import CostlyQuestions
from linkweather.models.ledger import LedgerAnswer

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
