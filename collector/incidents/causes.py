"""What explains conditions: a site that is gone, a common hop, a site whose links are bad, or the pair itself. Pure.

A condition has one cause. The widest that holds is taken: a site that is silent or cannot be reached explains all that
is wrong with its links. A hop that the traced paths of `MANY_LINKS` bad pairs share and no other path has, or a
bottleneck that their sites share, is the likely cause of these, unless they are all the links of one site. A site at
which `MANY_LINKS` links or more are bad, and more than half of those between it and its peers, explains these.
Otherwise the two sites of a link are the cause, for both directions together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

from collector.incidents.conditions import Subject
from collector.incidents.traced_paths import MANY_LINKS, MarkKind, TracedPaths
from linkweather.models.incidents import IncidentKind

_APART: frozenset[IncidentKind] = frozenset({"implausible", "clock", "authentication", "sink", "collector"})
_LIKELY = frozenset(get_args(MarkKind))
_SITE_GONE: frozenset[IncidentKind] = frozenset({"site_silent", "site_unreachable"})


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """What conditions have in common; `width` orders causes: a wider one replaces a narrower one."""

    width: Literal[0, 1, 2]
    names: tuple[str, ...]
    apart: str = ""  # a kind that nothing else explains: a clock, a sink; or what a likely cause is: a hop

    @classmethod
    def of(cls, kind: IncidentKind, names: tuple[str, ...], words: str) -> Self:
        """The cause of a recorded incident, whose worst finding is of this kind; `words` as `str` gives them."""
        likely = words.partition(" ")[0]
        if likely in _LIKELY and len(names) == 1:
            return cls(1, names, apart=likely)
        if kind in _SITE_GONE:
            return cls(2, names)
        if kind in _APART:
            return cls(0, names, apart=kind)
        return cls(0 if len(names) > 1 else 1, names)

    @property
    def likely(self) -> bool:
        """Whether it is inferred from what bad links have in common: the name of a hop or of a bottleneck."""
        return self.apart in _LIKELY

    def __str__(self) -> str:
        return " – ".join(self.names) if len(self.names) > 1 else f"{self.apart} {self.names[0]}".strip()


def causes(subjects: Iterable[Subject], peers: int, paths: TracedPaths | None = None) -> Mapping[Subject, Cause]:
    """The cause of each subject; `peers` is how many others a site has."""
    ordered = sorted(subjects, key=lambda one: (one.kind, one.src or "", one.dst or "", one.name or ""))
    gone = [one.src for one in ordered if one.kind in _SITE_GONE and one.src is not None]
    links = [one for one in ordered if one.dst is not None]
    found = {one: _alone(one) for one in ordered if one.dst is None}
    left = []
    for one in links:
        site = next((site for site in one.sites if site in gone), None)
        if site is None:
            left.append(one)
        else:
            found[one] = Cause(2, (site,))
    likely = _of_paths(left, peers, paths) if paths is not None else {}
    return {**found, **likely, **_of_links([one for one in left if one not in likely], peers)}


def _alone(subject: Subject) -> Cause:
    if subject.kind in _SITE_GONE:
        return Cause(2, (subject.src or "",))
    return Cause(0, (subject.src or subject.name or "",), apart=subject.kind)


def _of_paths(subjects: Sequence[Subject], peers: int, paths: TracedPaths) -> Mapping[Subject, Cause]:
    """What the paths of bad links have in common explains them, what most have first."""
    found: dict[Subject, Cause] = {}
    bad = {frozenset(one.sites) for one in subjects}
    for mark, pairs in paths.common(bad).items():
        left = {frozenset(one.sites) for one in subjects if one not in found} & pairs
        if len(left) >= MANY_LINKS and not _one_site(left, peers):
            cause = Cause(1, (mark.name,), apart=mark.kind)
            found |= {one: cause for one in subjects if one not in found and frozenset(one.sites) in left}
    return found


def _one_site(pairs: Collection[frozenset[str]], peers: int) -> bool:
    """Whether these are all the links of one site: then it is the site."""
    return len(pairs) >= peers and bool(frozenset.intersection(*pairs))


def _of_links(subjects: Sequence[Subject], peers: int) -> Mapping[Subject, Cause]:
    """The sites at which most is wrong explain their links, the worst site first; the rest are pairs."""
    found: dict[Subject, Cause] = {}
    while True:
        left = [one for one in subjects if one not in found]
        # Pairs, not directions: a pair that is bad both ways says no more about its site.
        bad = Counter(site for pair in {frozenset(one.sites) for one in left} for site in sorted(pair))
        site, count = max(bad.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        if count < MANY_LINKS or 2 * count <= peers:
            return found | {one: Cause(0, tuple(sorted(one.sites))) for one in left}
        found |= {one: Cause(1, (site,)) for one in left if site in one.sites}
