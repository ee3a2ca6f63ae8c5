"""The states of links as the page shows them: each by colour and by form, so that no hue alone says it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from page.words import message


class LinkForm(NamedTuple):
    """A state's name for people, its form in words for the legend, and how bad it is: the worst is the highest."""

    name: str
    form: str
    badness: int


UNKNOWN = "unknown"
# The forms are drawn by page.css, each under the class of its state's name.
LINK_FORMS: Mapping[str, LinkForm] = {
    "fresh": LinkForm(message("fresh"), message("plain"), 0),
    "stale": LinkForm(message("stale"), message("faded"), 1),
    UNKNOWN: LinkForm(message("unknown"), message("a dot"), 2),
    "expired": LinkForm(message("expired"), message("a dashed edge"), 3),
    "degraded": LinkForm(message("degraded"), message("hatched"), 4),
    "down": LinkForm(message("down"), message("filled, with a cross"), 5),
}


def known(state: str) -> str:
    """The state, or `unknown` for one of a newer collector."""
    return state if state in LINK_FORMS else UNKNOWN


def worst(states: Iterable[str]) -> str:
    """The worst state that a tenth of some are in, or in a worse one: of up to ten the worst; `unknown` of none."""
    found = sorted(map(known, states), key=lambda state: -LINK_FORMS[state].badness)
    return found[(len(found) - 1) // 10] if found else UNKNOWN


def is_not_well(state: str) -> bool:
    """Whether something is known to be wrong with a link in this state."""
    return known(state) not in {"fresh", UNKNOWN}
