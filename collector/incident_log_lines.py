"""What the collector's log says of sites, links and incidents as they change: one line for each.

A room of its own: the watch decides what changed, and no line decides anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from collector.incidents.health_columns import state_words
from collector.incidents.link_health import LinkHealth, StateChanges
from linkweather.models.incidents import IncidentAnswer
from linkweather.models.state import SiteAnswer, SiteCondition

log = logging.getLogger(__name__)

MOST_LINES = 50  # of one look's changed links: a storm fills no disk


class SiteLines:
    """The lines for sites. `owns` says whether this collector speaks for a site."""

    def __init__(self, owns: Callable[[str], bool]) -> None:
        self._owns = owns
        self._states: dict[str, SiteCondition] = {}

    def log_changes(self, sites: Sequence[SiteAnswer]) -> None:
        """A line for each site that came or went; not for what the collector finds at its start."""
        for one in sites:
            before = self._states.get(one.site, one.state)
            if before != one.state and self._owns(one.site):
                level = logging.WARNING if one.state == "offline" else logging.INFO
                log.log(
                    level,
                    "site %s is %s, was %s%s",
                    one.site,
                    one.state,
                    before,
                    f": {one.reason}" if one.reason else "",
                )
        self._states = {one.site: one.state for one in sites}


def log_links(health: LinkHealth, changes: StateChanges) -> None:
    """A line for each link whose state changed."""
    for line in islice(state_words(health, changes), MOST_LINES):
        log.info("%s", line)
    if len(changes) > MOST_LINES:
        log.info("%d further links changed their state", len(changes) - MOST_LINES)


def log_sentences(sentences: Iterable[str]) -> None:
    """A line for each of these, which an operator has to act on."""
    for sentence in sentences:
        log.warning("%s", sentence)


def log_incident(found: IncidentAnswer) -> None:
    """A line for an incident that begins, changes or is over."""
    if found.merged_into is not None:
        log.info("incident %s is part of %s: %s", found.id, found.merged_into, found.sentence)
    elif found.until is not None:
        log.warning("incident %s is over: %s", found.id, found.sentence)
    else:
        log.warning("incident %s, %s: %s", found.id, found.severity, "; ".join([found.sentence, *found.routes]))
