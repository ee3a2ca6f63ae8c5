"""Links as a table for people: readable units, – for never measured, at most 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from linkweather.models.state import LinkAnswer
from linkweather.units import age, megabits, milliseconds, percent

WIDTH = 80
_FIGURES_WIDTH = 60  # all columns but the link's, with gaps and margins, at their widest
_STATE_WIDTH = 7  # of that, the widest state's
STATE_STYLES: Mapping[str, str] = {
    "fresh": "green",
    "stale": "yellow",
    "expired": "dim",
    "down": "bold red",
    "unknown": "dim",
}


def links_table(links: Iterable[LinkAnswer], width: int = WIDTH) -> Table:
    """Links sorted by source and destination, in `width` columns: long site ids are cut, figures never.

    RTT (median), its p95 and the jitter (p95 minus median) are in ms; `down 12s` is down since 12 s.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("link", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading, _ in _NUMBERS:
        table.add_column(heading, justify="right", no_wrap=True)
    rows = [(link, _state(link)) for link in sorted(links, key=lambda link: (link.src, link.dst))]
    room = width - _FIGURES_WIDTH - max((len(state) - _STATE_WIDTH for _, state in rows), default=0)
    for link, state in rows:
        table.add_row(_name(link, room), state, *(show(link) for _, show in _NUMBERS))
    return table


def _state(link: LinkAnswer) -> Text:
    """The state; of a link that is down also since when, where that is known."""
    known = link.state == "down" and link.outage_s is not None
    since = f" {age(link.outage_s).replace(' ', '')}" if known else ""
    return Text(f"{link.state}{since}".ljust(_STATE_WIDTH), style=STATE_STYLES[link.state])


def _name(link: LinkAnswer, room: int) -> str:
    whole = f"{link.src} → {link.dst}"
    if len(whole) <= room:
        return whole
    each = max(2, (room - len(" → ")) // 2)
    return f"{_cut(link.src, each)} → {_cut(link.dst, each)}"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


_NUMBERS: tuple[tuple[str, Callable[[LinkAnswer], str]], ...] = (
    ("RTT ms", lambda link: milliseconds(link.rtt_p50_s)),
    ("p95", lambda link: milliseconds(link.rtt_p95_s)),
    ("jitter", lambda link: milliseconds(link.jitter_s)),
    ("loss %", lambda link: percent(link.loss_ratio)),
    ("Mbit/s", lambda link: megabits(link.goodput_bps)),
    ("age", lambda link: age(link.age_s)),
)
