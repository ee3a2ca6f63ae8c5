"""What people are not told of, until when: acknowledged incidents, and silenced sites, links and kinds. Pure.

An incident is silenced where the silence covers all that is found: what goes beyond it, people are told.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from linkweather.models.incidents import FindingAnswer, IncidentAnswer, SilenceAnswer

MOST_SILENCES = 1000


class Silences:
    """The silences that last, MOST_SILENCES at most: beyond it `add` refuses."""

    def __init__(self, silences: Iterable[SilenceAnswer] = ()) -> None:
        self._by_id = {one.id: one for one in silences}

    def lasting(self, now: datetime) -> list[SilenceAnswer]:
        """Those that last, the oldest first; those that are over are forgotten."""
        self._by_id = {id_: one for id_, one in self._by_id.items() if one.until > now}
        return list(self._by_id.values())

    def add(self, silence: SilenceAnswer) -> bool:
        """Take one in; false where there are too many. An incident that is acknowledged again has the newer one."""
        if silence.incident is not None:
            again = [id_ for id_, one in self._by_id.items() if one.incident == silence.incident]
            for id_ in again:
                del self._by_id[id_]
        if len(self._by_id) >= MOST_SILENCES:
            return False
        self._by_id[silence.id] = silence
        return True

    def remove(self, id_: str) -> bool:
        """End one; false where there is none of this id."""
        return self._by_id.pop(id_, None) is not None

    def of(self, incident: IncidentAnswer, now: datetime) -> SilenceAnswer | None:
        """Why people are not told of an incident: the one that ends last."""
        covering = (one for one in self._by_id.values() if one.until > now and _covers(one, incident))
        return max(covering, key=lambda one: one.until, default=None)


def _covers(silence: SilenceAnswer, incident: IncidentAnswer) -> bool:
    if silence.incident is not None:
        # The end of an incident that is acknowledged is news.
        return silence.incident == incident.id and incident.until is None
    if silence.kind is None and incident.cause == silence.site:
        return True  # also of findings that the answer omits
    lasting = [one for one in incident.findings if one.until is None] or incident.findings
    return not incident.omitted_findings and all(_concerns(silence, one) for one in lasting)


def _concerns(silence: SilenceAnswer, finding: FindingAnswer) -> bool:
    ends = {finding.src, finding.dst}
    return (
        (silence.kind is None or silence.kind == finding.kind)
        and (silence.site is None or silence.site in ends)
        and (silence.src is None or {silence.src, silence.dst} == ends)
    )
