"""How the demo looks: a live table in a terminal, plain lines elsewhere, JSON where it is asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from linkweather.cli.link_views import worst_first, wrong_first
from linkweather.cli.tables import PAGE_S, links_table
from linkweather.cli.terminal import WIDTH, Terminal
from linkweather.client import as_json
from linkweather.models.ledger import LedgerAnswer
from linkweather.models.routes import RouteAnswer
from linkweather.models.state import LinkAnswer, SiteAnswer

# The head, the table's own head and rule, and the lines below.
_OTHER_ROWS: Final = 9
_ROUTES_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class DemoScene:
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
            f"Look at it: {self.api}; the API is described at {self.api}/docs; logs in {self.data_dir}/logs",
            f"linkweather demo: {self.lab}, {self.sites} sites, {self.links} links; {how[self.engine]}{why}",
        ]


class DemoDisplay(Protocol):
    """Where a running demo shows itself."""

    def begin(self, scene: DemoScene) -> None:
        """Start, and show the head."""

    def show(self, links: Sequence[LinkAnswer], relayed: Sequence[RouteAnswer]) -> None:
        """Show the current mesh and the active routes through a relay."""

    def announce(self, sentence: str) -> None:
        """Show what was just done to a link."""

    def note(self, sentence: str) -> None:
        """Show a problem."""

    def end(self) -> None:
        """Stop the live view."""


class LiveDemo:
    """A table that follows the mesh; one that does not fit the terminal turns its pages by itself."""

    def __init__(self, console: Terminal) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._head = Text()
        self._links: Sequence[LinkAnswer] = ()
        self._relayed: Sequence[RouteAnswer] = ()
        self._staged = ""

    def begin(self, scene: DemoScene) -> None:
        """Show the head."""
        self._head = Text("\n".join(scene.lines()))
        self._live.start()
        self._draw("starting")

    def show(self, links: Sequence[LinkAnswer], relayed: Sequence[RouteAnswer]) -> None:
        """Show the mesh and the active routes through a relay."""
        self._links = links
        self._relayed = relayed
        self._draw("")

    def announce(self, sentence: str) -> None:
        """Show it from the next drawing on, until the next one."""
        self._staged = sentence

    def note(self, sentence: str) -> None:
        """Show the last mesh and the problem."""
        self._draw(sentence)

    def end(self) -> None:
        """Give the terminal back."""
        self._live.stop()

    def _draw(self, note: str) -> None:
        turn = int(time.monotonic() / PAGE_S)
        sentences, more = _sentences(self._relayed, turn)
        rows = max(1, self._console.height - _OTHER_ROWS - 2 * len(sentences))
        links, which = wrong_first(self._links, rows, turn)
        measured = sum(link.goodput_bps is not None for link in self._links)
        foot = f"{measured} of {len(self._links)} links have a goodput; Ctrl-C ends" if self._links else "Ctrl-C ends"
        parts: list[RenderableType] = [
            self._head,
            links_table(links, order=worst_first),
            Text("\n".join(sentences)),
            Text("\n".join(line for line in (which, more, foot) if line), style="dim"),
            Text("\n".join(line for line in (self._staged, note) if line), style="yellow"),
        ]
        self._live.update(Group(*parts), refresh=True)


class PlainDemo:
    """Lines for a pipe or a log: the head once, then what is staged, changed routes and problems."""

    def __init__(self, console: Terminal) -> None:
        self._console = console
        self._taken: dict[tuple[str, str, str], tuple[str, ...]] = {}

    def begin(self, scene: DemoScene) -> None:
        """Print the head."""
        self._console.print("\n".join(scene.lines()), soft_wrap=True)

    def show(self, links: Sequence[LinkAnswer], relayed: Sequence[RouteAnswer]) -> None:
        """Print changed routes; the whole mesh follows at the end."""
        del links
        now = {(answer.objective, answer.src, answer.dst): answer for answer in relayed}
        for key, answer in now.items():
            if self._taken.get(key) != answer.path.sites:
                self._console.print(answer.why, soft_wrap=True)
        for objective, src, dst in self._taken.keys() - now.keys():
            self._console.print(f"{src} → {dst}: no longer through a relay for {objective}.", soft_wrap=True)
        self._taken = {key: answer.path.sites for key, answer in now.items()}

    def announce(self, sentence: str) -> None:
        """Print it."""
        self._console.print(sentence, soft_wrap=True)

    def note(self, sentence: str) -> None:
        """Print the problem."""
        self._console.print(sentence, soft_wrap=True)

    def end(self) -> None:
        """Nothing to give back."""


def final_table(
    console: Terminal, links: Sequence[LinkAnswer], relayed: Sequence[RouteAnswer], ledger: LedgerAnswer | None
) -> None:
    """Print the whole mesh, the active routes through a relay, and where every report went."""
    wide = console if console.is_terminal else Terminal(file=console.file, width=WIDTH)
    wide.print(links_table(links))
    for answer in relayed:
        console.print(answer.why, soft_wrap=True)
    if ledger is not None:
        console.print(ledger.why, soft_wrap=True)


def final_json(
    scene: DemoScene,
    links: Sequence[LinkAnswer],
    sites: Sequence[SiteAnswer],
    relayed: Sequence[RouteAnswer],
    ledger: LedgerAnswer | None,
) -> str:
    """The outcome as one JSON document."""
    parts = {"mesh": as_json([*links]), "sites_seen": as_json([*sites]), "relayed": as_json([*relayed])}
    parts["ledger"] = None if ledger is None else as_json(ledger)
    return json.dumps({**asdict(scene), **parts}, indent=2)


def _sentences(relayed: Sequence[RouteAnswer], turn: int) -> tuple[list[str], str]:
    """Why which pairs go through a relay: as many as fit at this turn, and how many there are in all."""
    pages = max(1, -(-len(relayed) // _ROUTES_SHOWN))
    start = turn % pages * _ROUTES_SHOWN
    shown = [answer.why for answer in relayed[start : start + _ROUTES_SHOWN]]
    return shown, "" if pages == 1 else f"{len(relayed)} paths through a relay, in turn"
