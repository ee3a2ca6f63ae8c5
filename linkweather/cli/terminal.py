"""The terminal for tables and live views: text is text, whoever wrote it.

A room of its own because every table and view goes through it; ruff refuses rich's own Console everywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderableType  # noqa: TID251 - the one place
from rich.segment import Segment

from linkweather.plain_text import cleaned

WIDTH: Final = 80  # of what goes into a pipe


class Terminal(Console):
    """A console that takes neither markup nor control characters from the text it prints."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What rich makes of it, cleaned; the control codes of rich itself stand in segments of their own."""
        for segment in super().render(renderable, options):
            plain = segment.control or segment.text.isprintable()
            yield segment if plain else Segment(cleaned(segment.text), segment.style)


def terminal(*, width: int | None = WIDTH, **options: Any) -> Terminal:
    """The terminal; a pipe gets `width` columns, or as many as rich thinks right, without colours."""
    console = Terminal(**options)
    return console if console.is_terminal or width is None else Terminal(width=width, **options)
