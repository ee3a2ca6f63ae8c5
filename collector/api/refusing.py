"""How a request is refused: a status, one sentence, and what it is about."""

from __future__ import annotations

from linkweather.answers import ErrorAnswer


class Refused(Exception):  # noqa: N818 – an answer
    """Ends a request with a status and one sentence."""

    def __init__(self, status: int, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.answer = ErrorAnswer(error=sentence, field=field)
