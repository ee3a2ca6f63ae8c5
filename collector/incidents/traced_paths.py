"""What the links have on their way: the routers of their traced paths, and the bottlenecks that sites share. Pure.

Theory. Of links that went bad together, the likely cause is what their paths share and no other path has (binary
network tomography: a part of the network through which a good path leads is good). A pair of sites has what the paths
of both its directions have, as a probe goes there and back; each router answers by the address that faces the source,
so that it has another one for each direction. The first flow of a trace alone counts, as parallel paths of the others
may be none that the probes take.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import permutations
from typing import Literal, NamedTuple

from linkweather.mesh import Mesh
from linkweather.wire import PathRow

MANY_LINKS = 3  # pairs of sites: fewer have too much in common by chance


MarkKind = Literal["bottleneck", "hop"]


class Mark(NamedTuple):
    """A part of the network by which links can have a common fate: a hop's address, or the name of a bottleneck."""

    kind: MarkKind
    name: str


SitePair = frozenset[str]
_NONE: tuple[str, ...] = ()


class TracedPaths:
    """The newest trace of each link of the mesh that reached its destination."""

    def __init__(self, mesh: Mesh) -> None:
        self._hops: dict[tuple[str, str], tuple[str, ...]] = {}
        self._used: Counter[str] = Counter()  # on how many links' ways each hop is
        self.apply_mesh(mesh)

    def apply_mesh(self, mesh: Mesh) -> None:
        """Adopt a changed mesh."""
        self._mesh = mesh
        self._shares = {name: site.shares for name, site in mesh.sites.items() if site.shares is not None}
        self._hops = {pair: hops for pair, hops in self._hops.items() if mesh.has(*pair)}
        self._used = Counter(hop for hops in self._hops.values() for hop in set(hops))

    def observe(self, row: PathRow) -> None:
        """Take in a trace: one that broke off says nothing of the path as it is without trouble."""
        if row.reached:
            self.put(row.src, row.dst, [hop.address for hop in row.hops])

    def put(self, src: str, dst: str, addresses: Sequence[str | None]) -> None:
        """Keep the path of a link by its hops' addresses, None where none answered; the last is the destination's."""
        hops = tuple(address for address in addresses[:-1] if address is not None)
        before = self._hops.get((src, dst), _NONE)
        if hops != before and self._mesh.has(src, dst):
            self._used.update(set(hops))
            self._used.subtract(set(before))
            for hop in before:
                if not self._used[hop]:
                    del self._used[hop]
            self._hops[src, dst] = tuple(map(sys.intern, hops))  # a router is on the way of thousands of links

    def common(self, bad: Collection[SitePair]) -> Mapping[Mark, set[SitePair]]:
        """What MANY_LINKS of these pairs or more have, and no other pair; the marks that most have first."""
        marks = {pair: list(self._marks(pair)) for pair in bad}
        counts = Counter(mark for found in marks.values() for mark in found)
        left = {mark for mark, count in counts.items() if count >= MANY_LINKS}
        left -= self._of_others({mark.name for mark in left if mark.kind == "hop"}, bad)
        left -= self._shared_by_others({mark.name for mark in left if mark.kind == "bottleneck"}, marks)
        # Counters keep the order of their first meeting: of equals the one nearest to a source.
        ordered = [mark for mark, _ in counts.most_common() if mark in left]
        return {mark: {pair for pair, found in marks.items() if mark in found} for mark in ordered}

    def _marks(self, pair: SitePair) -> Iterator[Mark]:
        """What a pair of sites has on its way, each once."""
        one, other = sorted(pair)
        shared = {self._shares.get(one), self._shares.get(other)}
        if len(shared) > 1:  # traffic between two sites behind a bottleneck does not pass it
            yield from (Mark("bottleneck", name) for name in sorted(filter(None, shared)))
        hops = self._hops.get((one, other), _NONE) + self._hops.get((other, one), _NONE)
        yield from (Mark("hop", address) for address in dict.fromkeys(hops))

    def _of_others(self, addresses: set[str], bad: Collection[SitePair]) -> set[Mark]:
        """Which of these hops are on the way of a pair that is not bad."""
        links = [link for pair in bad for link in permutations(pair, 2)]
        used = Counter(hop for link in links for hop in addresses.intersection(self._hops.get(link, _NONE)))
        return {Mark("hop", address) for address in addresses if used[address] < self._used[address]}

    def _shared_by_others(self, names: set[str], bad: Collection[SitePair]) -> set[Mark]:
        """Which of these bottlenecks a pair passes that is not bad."""
        sites = [site for site, name in self._shares.items() if name in names]
        pairs = (frozenset((site, peer)) for site in sites for peer in self._mesh.peers(site))
        return {mark for pair in pairs if pair not in bad for mark in self._marks(pair) if mark.name in names}
