"""Whether the collector can say anything of others: what is its own trouble, and until when it does not count. Pure.

Theory. To a collector that is cut off, or that is so late that reports wait, all sites look silent and all links stale
at once. So while it is in trouble itself, and for one silence after, it looks at no site and no link: what was wrong
before stays as it was, and its own trouble is the one cause. A lateness is seen at single moments, between which it
counts as lasting: `LATE_LASTS_S` long.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from collector.incidents.conditions import Conditions, Evidence, Subject
from linkweather.units import age

LATE_S = 5.0  # a look, or a report to be committed
LATE_LASTS_S = 10.0

_LATE = Subject("collector", name="the collector")
_SLOW = Subject("collector", name="the intake of reports")


class OwnTrouble:
    """What fails at the collector, look by look; `hearing` says whether what it knows of others counts."""

    def __init__(self) -> None:
        self._late: dict[Subject, tuple[float, Evidence]] = {}
        self._deaf_until = -math.inf
        self._heard = False  # before the first connection there is nothing to catch up with

    def look(
        self,
        failing: Iterable[tuple[Subject, Evidence]],
        *,
        late_s: float,
        waiting_s: float,
        silence_s: float,
        now: float,
    ) -> Conditions:
        """What fails now, sinks included: `late_s` is how late the look is, `waiting_s` how long reports wait.

        Sites are believed to be silent again once the trouble is over for `silence_s`.
        """
        found = dict(failing)
        for subject, behind_s, words in (
            (_LATE, late_s, f"runs {age(late_s)} late: its machine has too much to do"),
            (_SLOW, waiting_s, f"lags: reports wait {age(waiting_s)} to be committed"),
        ):
            if behind_s >= LATE_S:
                self._late[subject] = now, Evidence(behind_s, detail=words)
        self._late = {subject: seen for subject, seen in self._late.items() if now - seen[0] < LATE_LASTS_S}
        found |= {subject: figure for subject, (_, figure) in self._late.items()}
        if any(subject.kind == "collector" for subject in found):
            self._deaf_until = now + silence_s if self._heard else math.nextafter(now, math.inf)
        else:
            self._heard = True
        return found

    def hearing(self, now: float) -> bool:
        """Whether the collector hears, and has done so for long enough to know who is silent."""
        return now >= self._deaf_until
