"""How the demo looks: a live table in a terminal, plain lines elsewhere, JSON where it is asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from linkweather.answers import LinkAnswer, SiteAnswer
from linkweather.client import as_json
from linkweather.tables.links import WIDTH, links_table

PAGE_S: Final = 4.0
# The head, the table's own head and rule, and the lines below.
_OTHER_ROWS: Final = 8


@dataclass(frozen=True, slots=True)
class Scene:
    """What is shown, in a line or two."""

    lab: str
    sites: int
    links: int
    engine: str
    note: str | None
    api: str
    data_dir: str

    def lines(self) -> list[str]:
        """The head of every display."""
        how = {
            "netem": "delays, rates and losses emulated by the kernel's netem",
            "relay": "delays, rates and losses emulated by a relay",
            "loopback": "on loopback: delays are not emulated",
        }
        why = f" ({self.note})" if self.note and self.engine == "loopback" else ""
        return [
            f"linkweather demo: {self.lab}, {self.sites} sites, {self.links} links; {how[self.engine]}{why}",
            f"API {self.api}/api/v1/links, described at {self.api}/docs; logs in {self.data_dir}/logs",
        ]


class Display(Protocol):
    """Where a running demo shows itself."""

    def begin(self, scene: Scene) -> None:
        """The demo starts."""

    def show(self, links: Sequence[LinkAnswer]) -> None:
        """The mesh is like this now."""

    def note(self, sentence: str) -> None:
        """Something is amiss."""

    def end(self) -> None:
        """No more is shown live."""


def page(links: Sequence[LinkAnswer], rows: int, turn: int) -> tuple[Sequence[LinkAnswer], str]:
    """The links that fit into `rows` at this turn, and which of how many they are ("" when all fit)."""
    ordered = sorted(links, key=lambda link: (link.src, link.dst))
    if len(ordered) <= rows:
        return ordered, ""
    pages = -(-len(ordered) // rows)
    start = turn % pages * rows
    shown = ordered[start : start + rows]
    return shown, f"links {start + 1}–{start + len(shown)} of {len(ordered)}; a longer terminal shows more at once"


class LiveDisplay:
    """A table that follows the mesh; one that does not fit the terminal turns its pages by itself."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._head = Text()
        self._links: Sequence[LinkAnswer] = ()

    def begin(self, scene: Scene) -> None:
        """Show the head."""
        self._head = Text("\n".join(scene.lines()))
        self._live.start()
        self._draw("starting")

    def show(self, links: Sequence[LinkAnswer]) -> None:
        """Show the mesh."""
        self._links = links
        self._draw("")

    def note(self, sentence: str) -> None:
        """Show the last mesh, and what is amiss."""
        self._draw(sentence)

    def end(self) -> None:
        """Give the terminal back."""
        self._live.stop()

    def _draw(self, note: str) -> None:
        rows = max(1, self._console.height - _OTHER_ROWS)
        links, which = page(self._links, rows, int(time.monotonic() / PAGE_S))
        measured = sum(link.goodput_bps is not None for link in self._links)
        foot = f"{measured} of {len(self._links)} links have a goodput; Ctrl-C ends" if self._links else "Ctrl-C ends"
        parts: list[RenderableType] = [
            self._head,
            links_table(links),
            Text("\n".join(line for line in (which, foot) if line), style="dim"),
            Text(note, style="yellow"),
        ]
        self._live.update(Group(*parts), refresh=True)


class PlainDisplay:
    """Lines for a pipe or a log: the head once, and what is amiss."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, scene: Scene) -> None:
        """Print the head."""
        self._console.print("\n".join(scene.lines()), soft_wrap=True)

    def show(self, links: Sequence[LinkAnswer]) -> None:
        """Print nothing: the whole mesh is printed at the end."""

    def note(self, sentence: str) -> None:
        """Print what is amiss."""
        self._console.print(sentence, soft_wrap=True)

    def end(self) -> None:
        """Nothing to give back."""


def final_table(console: Console, links: Sequence[LinkAnswer]) -> None:
    """Print the whole mesh."""
    wide = console if console.is_terminal else Console(file=console.file, width=WIDTH)
    wide.print(links_table(links))


def final_json(scene: Scene, links: Sequence[LinkAnswer], sites: Sequence[SiteAnswer]) -> str:
    """The outcome as one JSON document."""
    return json.dumps({**asdict(scene), "mesh": as_json([*links]), "sites_seen": as_json([*sites])}, indent=2)
