"""Links as a terminal shows them: in which order, which of them, a grid of them all, and what is wrong in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.text import Text

from linkweather.cli.tables import STATE_STYLES
from linkweather.errors import OperatorError
from linkweather.models.state import LinkAnswer, LinkCondition
from linkweather.units import age, count, milliseconds

# The worst first.
_WORST: tuple[LinkCondition, ...] = ("down", "degraded", "expired", "stale", "unknown", "fresh")
_RANK = {name: rank for rank, name in enumerate(_WORST)}
_FORMS: Mapping[LinkCondition, str] = {
    "fresh": "·",
    "degraded": "▒",
    "stale": "~",
    "expired": "-",
    "down": "X",
    "unknown": "?",
}
_FIGURES_FROM: Final = 6  # columns of a cell: below it there is room for the state alone
_MOST_LABEL: Final = 14
Order = Callable[[LinkAnswer], Any]


def by_name(link: LinkAnswer) -> tuple[str, str]:
    """Sorts by source and destination."""
    return link.src, link.dst


def worst_first(link: LinkAnswer) -> tuple[int, str, str]:
    """Sorts by state, the worst first."""
    return (_RANK[link.state], *by_name(link))


def _by(field: str, sign: float = -1.0) -> Order:
    """Sorts by a figure, the worst first, and links without one last."""

    def key(link: LinkAnswer) -> tuple[bool, float, str, str]:
        value = getattr(link, field)
        return (value is None, sign * (value or 0.0), *by_name(link))

    return key


ORDERS: Mapping[str, Order] = {
    "name": by_name,
    "state": worst_first,
    "rtt": _by("rtt_p50_s"),
    "jitter": _by("jitter_s"),
    "loss": _by("loss_ratio"),
    "goodput": _by("goodput_bps", 1.0),
    "age": _by("age_s"),
}


def wrong_first(links: Sequence[LinkAnswer], rows: int, turn: int) -> tuple[Sequence[LinkAnswer], str]:
    """The links that fit into `rows`: those that are not fresh stay, the rest turn their pages; and which these are."""
    ordered = sorted(links, key=worst_first)
    if len(ordered) <= rows:
        return ordered, ""
    wrong = [link for link in ordered if link.state != "fresh"]
    fits = len(wrong) < rows
    stay, turning, what = (wrong, ordered[len(wrong) :], "links") if fits else ([], wrong, "links not fresh")
    room = rows - len(stay)
    start = turn % -(-len(turning) // room) * room
    shown = turning[start : start + room]
    which = f"{what} {len(stay) + start + 1}–{len(stay) + start + len(shown)} of {len(stay) + len(turning)}"
    return [*stay, *shown], f"{which}; a longer terminal shows more at once"


def notes(links: Iterable[LinkAnswer], most: int, now: datetime | None = None) -> list[str]:
    """Why links are not fresh, the worst first, in at most so many lines; what explains several links is said once."""
    at = now or datetime.now(UTC)
    of: dict[str, list[LinkAnswer]] = {}
    for link in sorted(links, key=worst_first):
        if link.reason is not None:
            of.setdefault(link.reason, []).append(link)
    lines = [_note(reason, found, at) for reason, found in of.items()]
    if len(lines) <= most:
        return lines
    further = count(len(lines) - most + 1, "further reason")
    return [*lines[: most - 1], f"… and {further}: --state or --from shows some, --json all"]


def _note(reason: str, links: Sequence[LinkAnswer], now: datetime) -> str:
    if len(links) > 1:
        return f"{reason} ({count(len(links), 'link')})"
    (link,) = links
    since = "" if link.since is None else f", for {age(max(0.0, (now - link.since).total_seconds()))}"
    return f"{link.src} → {link.dst}: {reason}{since}{_traffic(link)}"


def _traffic(link: LinkAnswer) -> str:
    ways = {"none": "; no path is usable", "relayed": f"; traffic goes through {', '.join(link.traffic_relays or ())}"}
    return ways.get(link.traffic or "", "")


def grid(links: Sequence[LinkAnswer], width: int) -> Text:
    """Sites × sites in `width` columns, sources in rows: RTTs in ms where there is room, with the sign of the state.

    Raises OperatorError where the terminal has less than a column for each site.
    """
    sites = list(dict.fromkeys([*(link.src for link in links), *(link.dst for link in links)]))
    of = {(link.src, link.dst): link for link in links}
    label = min(_MOST_LABEL, max(map(len, sites), default=0) + 5)
    each = min(8, (width - label) // max(1, len(sites)))
    if each < 1:
        need = label + len(sites)
        raise OperatorError(f"a grid of {len(sites)} sites needs {need} columns, and there are {width}: see the page")
    found = Text(no_wrap=True)
    found.append(" " * label + "".join(_heading(number, site, each) for number, site in enumerate(sites, 1)) + "\n")
    for number, src in enumerate(sites, 1):
        found.append(f"{number:>3} {src}"[: label - 1].ljust(label))
        for dst in sites:
            found.append_text(_cell(of.get((src, dst)), each))
        found.append("\n")
    signs = "  ".join(f"{sign} {name}" for name, sign in _FORMS.items())
    figures = "; RTT in ms" if each >= _FIGURES_FROM else ""
    found.append(f"rows send, columns receive{figures}\n{signs}", "dim")
    return found


def _heading(number: int, site: str, each: int) -> str:
    name = site[: each - 1] if each >= _FIGURES_FROM else str(number)[-max(1, each - 1) :]
    return name.rjust(each)


def _cell(link: LinkAnswer | None, each: int) -> Text:
    if link is None:
        return Text(" " * each)
    sign, style = _FORMS[link.state], STATE_STYLES[link.state]
    shown = sign
    if each >= _FIGURES_FROM and link.rtt_p50_s is not None and link.state != "down":
        shown = f"{'' if link.state == 'fresh' else sign}{milliseconds(link.rtt_p50_s)}"
    return Text(shown.rjust(each), style)
