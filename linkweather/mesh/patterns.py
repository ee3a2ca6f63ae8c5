"""Which sites a group has, and which pairs of them have links: full, hubs, nearest, between. Pure.

Pairs come directed, each once, and with each its way back.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping

from linkweather.mesh.groups import Group
from linkweather.mesh.mesh_site import Site

Pair = tuple[str, str]
_SHOWN = 5
# Sites whose neighbours are looked up at once.
_ROWS = 100
# Chords that differ by less, a centimetre on the Earth, are equal; and what rounding leaves of that.
_DECIMALS, _EQUALLY_FAR = 9, 1e-9


def members(group: Group, sites: Mapping[str, Site], above: Mapping[str, Collection[str]]) -> list[str]:
    """The sites of a group, in the order of the mesh; `above` are those of the groups before it.

    Raises ValueError: a site or a group that there is not, a selection of none.
    """
    if group.between:
        for place, name in enumerate(group.between):
            if name not in above:
                there = f"only {few(above)}" if above else "there is none"
                raise ValueError(f"between[{place}] = {name!r}: no such group above, {there}")
        chosen = {site for name in group.between for site in above[name]}
        return [name for name in sites if name in chosen]
    for key, named in (("sites", group.sites), ("hubs", group.hubs)):
        for place, name in enumerate(named):
            if name not in sites:
                raise ValueError(f"{key}[{place}] = {name!r}: no such site; the mesh has {few(sites)}")
    chosen = {*group.sites, *_selected(group, sites)}
    return [name for name in sites if name in chosen or name in group.hubs]


def _selected(group: Group, sites: Mapping[str, Site]) -> Iterable[str]:
    if not group.selects:
        return () if group.sites else sites
    wanted = {key: value for key in ("operator", "region") if (value := getattr(group, key)) is not None}
    found = [name for name, site in sites.items() if all(getattr(site, key) == value for key, value in wanted.items())]
    if not found:
        asked = " and ".join(f"{key} = {value!r}" for key, value in wanted.items())
        raise ValueError(f"{asked}: no site of the mesh has that")
    return found


def check(group: Group, own: Collection[str], sites: Mapping[str, Site]) -> None:
    """Raise ValueError for a group by distance with sites that have no coordinates."""
    lost = [name for name in own if sites[name].latitude is None or sites[name].longitude is None]
    if group.nearest and lost:
        raise ValueError(f"nearest = {group.nearest}: needs latitude and longitude of each site; {few(lost)} lack them")


def most_pairs(group: Group, own: Collection[str], above: Mapping[str, Collection[str]]) -> int:
    """At most so many pairs has a group; worked out without making them."""
    if group.hubs:
        return len(set(group.hubs)) * (2 * len(own) - len(set(group.hubs)) - 1)
    if group.nearest:
        return 2 * min(group.nearest, len(own) - 1) * len(own)
    if group.between:
        return 2 * math.prod(len(above[name]) for name in group.between)
    return len(own) * (len(own) - 1)


def pairs(
    group: Group, own: Collection[str], sites: Mapping[str, Site], above: Mapping[str, Collection[str]]
) -> Iterator[Pair]:
    """The pairs of a group whose sites are `own`."""
    if group.nearest:
        return _nearest(own, sites, group.nearest)
    if group.between:
        first, second = (above[name] for name in group.between)
        return _both_ways((one, other) for one in first for other in second)
    if group.hubs:
        order = {name: place for place, name in enumerate(own)}
        hubs = sorted(set(group.hubs), key=order.__getitem__)
        spokes = [name for name in own if name not in set(hubs)]
        return _both_ways((hub, other) for place, hub in enumerate(hubs) for other in (*hubs[place + 1 :], *spokes))
    return ((src, dst) for src in own for dst in own if src != dst)


def _both_ways(found: Iterable[Pair]) -> Iterator[Pair]:
    """Each of these pairs and its way back, once; none of a site with itself."""
    for one, other in found:
        if one != other:
            yield one, other
            yield other, one


def _nearest(own: Collection[str], sites: Mapping[str, Site], count: int) -> Iterator[Pair]:
    """Each site with its `count` nearest by great circle; of those equally far the first by name."""
    # A probe and a client have neither, and work out no groups.
    import numpy as np  # noqa: PLC0415
    from scipy.spatial import KDTree  # noqa: PLC0415

    names = sorted(own)
    count = min(count, len(names) - 1)
    north, east = np.radians([[sites[name].latitude or 0.0, sites[name].longitude or 0.0] for name in names]).T
    # The shorter the great circle between two points, the shorter the chord.
    points = np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1)
    tree = KDTree(points)
    seen: set[Pair] = set()
    for start in range(0, len(names) if count else 0, _ROWS):
        rows = points[start : start + _ROWS]
        far, _ = tree.query(rows, count + 1)  # the site itself is one of them
        for place, near in enumerate(tree.query_ball_point(rows, far[:, -1] + _EQUALLY_FAR, return_sorted=True), start):
            others = np.array([other for other in near if other != place])
            chords = np.round(np.linalg.norm(points[others] - points[place], axis=1), _DECIMALS)
            for other in others[np.argsort(chords, kind="stable")][:count].tolist():
                pair = (names[place], names[other])
                if pair not in seen:
                    seen |= {pair, pair[::-1]}
                    yield from (pair, pair[::-1])


def few(names: Iterable[str]) -> str:
    """The first few of these names, and how many more there are."""
    shown = list(names) or ["none"]
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
