"""What bad links have in common on their way: a hop, or a bottleneck that their sites share."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from collector.incidents.causes import Cause, causes
from collector.incidents.conditions import Evidence, Subject
from collector.incidents.incident_book import IncidentBook
from collector.incidents.incident_words import answer, restored
from collector.incidents.traced_paths import Mark, TracedPaths
from collector.settings import IncidentSettings
from linkweather.mesh import Mesh
from linkweather.wire import Hop, PathRow

# Two regions, a b c behind the router w, d e f behind the router x; between the two the long line m.
WEST, EAST = "abc", "def"
SITES = WEST + EAST


def _mesh(**more: Any) -> Mesh:
    site = {name: {"address": f"192.0.2.{number}"} for number, name in enumerate(SITES, 1)}
    return Mesh.model_validate({"sites": {name: {**values, **more.get(name, {})} for name, values in site.items()}})


def _row(src: str, dst: str, *routers: str | None, reached: bool = True) -> PathRow:
    hops = [Hop(ttl=ttl, address=address) for ttl, address in enumerate((*routers, f"host-{dst}"), 1)]
    return PathRow(src=src, dst=dst, method="udp", hops=tuple(hops), reached=reached)


def _paths(mesh: Mesh | None = None) -> TracedPaths:
    paths = TracedPaths(mesh or _mesh())
    for src, dst in itertools.permutations(SITES, 2):
        near, far = ("w", "x") if src in WEST else ("x", "w")
        across = (src in WEST) != (dst in WEST)
        paths.observe(_row(src, dst, near, None, f"m-{near}", far) if across else _row(src, dst, near))
    return paths


def _loss(*pairs: str) -> list[Subject]:
    return [Subject("loss", pair[0], pair[1]) for pair in pairs]


ACROSS = [src + dst for src, dst in itertools.product(WEST, EAST)]


def test_the_hop_that_bad_links_share_and_good_ones_do_not_is_the_likely_cause() -> None:
    found = causes(_loss(*ACROSS), 5, _paths())
    assert {str(cause) for cause in found.values()} == {"hop m-w"}
    assert all(cause.likely for cause in found.values())


def test_a_hop_on_the_way_of_a_good_link_is_none() -> None:
    found = causes(_loss(*ACROSS[1:]), 5, _paths())  # a – d is well, over the same line
    assert not any(cause.likely for cause in found.values())


def test_a_good_link_that_leaves_a_hop_no_longer_speaks_for_it() -> None:
    paths = _paths()
    for routers in (("w", "line", "line", "x"), ("w", "other", "x")):
        paths.observe(_row("a", "d", *routers))
        paths.observe(_row("d", "a", *reversed(routers)))
        found = causes(_loss(*ACROSS[1:]), 5, paths)
        assert {str(cause) for cause in found.values()} == {"hop m-w"}


def test_two_links_have_too_much_in_common() -> None:
    paths = TracedPaths(_mesh())
    for src, dst in ("ad", "be"):
        paths.observe(_row(src, dst, "m"))
    assert paths.common([frozenset("ad"), frozenset("be")]) == {}


def test_all_links_of_one_site_are_the_site_and_not_its_router() -> None:
    paths = TracedPaths(_mesh())
    for other in "bcdef":
        paths.observe(_row("a", other, "gateway"))
    found = causes(_loss("ab", "ac", "ad", "ae", "af"), 5, paths)
    assert {str(cause) for cause in found.values()} == {"a"}


def test_a_site_of_which_some_links_are_bad_by_one_hop_names_the_hop() -> None:
    paths = TracedPaths(_mesh())
    for other in "bcd":
        paths.observe(_row("a", other, "first"))
    for other in "ef":
        paths.observe(_row("a", other, "second"))
    found = causes(_loss("ab", "ac", "ad"), 5, paths)
    assert {str(cause) for cause in found.values()} == {"hop first"}


def test_sites_behind_a_bottleneck_that_all_lose_beyond_it() -> None:
    uplink = {"shares": "uplink"}
    paths = TracedPaths(_mesh(a=uplink, b=uplink))
    beyond = [one + other for one, other in itertools.product("ab", "cdef")]
    assert {str(cause) for cause in causes(_loss(*beyond), 5, paths).values()} == {"bottleneck uplink"}
    assert not any(cause.likely for cause in causes(_loss(*beyond[1:]), 5, paths).values())
    assert paths.common([frozenset("ab")]) == {}


def test_what_a_hop_does_not_explain_has_a_cause_of_its_own() -> None:
    found = causes([*_loss(*ACROSS), Subject("latency", "a", "b")], 5, _paths())
    assert found[Subject("latency", "a", "b")] == Cause(0, ("a", "b"))


def test_links_that_one_hop_explains_are_not_explained_again() -> None:
    paths = TracedPaths(_mesh())
    for src, dst in ("ad", "be", "cf", "ae"):
        paths.observe(_row(src, dst, "m"))
    for src, dst in ("ad", "be", "cf"):
        paths.observe(_row(dst, src, "n"))
    found = causes(_loss("ad", "be", "cf", "ae"), 5, paths)
    assert {str(cause) for cause in found.values()} == {"hop m"}


def test_a_trace_that_broke_off_or_of_no_link_of_the_mesh_is_not_kept() -> None:
    paths = _paths()
    paths.observe(_row("a", "d", "elsewhere", reached=False))
    paths.observe(_row("a", "z", "elsewhere"))
    assert next(iter(paths.common([frozenset(pair) for pair in ACROSS]))) == Mark("hop", "m-w")
    assert "elsewhere" not in {mark.name for mark in paths.common([frozenset(pair) for pair in ACROSS])}


def test_links_that_leave_the_mesh_are_forgotten() -> None:
    paths = _paths()
    only = Mesh.model_validate({"sites": {"a": {"address": "192.0.2.1"}, "b": {"address": "192.0.2.2"}}})
    paths.apply_mesh(only)
    paths.apply_mesh(_mesh())
    assert paths.common([frozenset(pair) for pair in ACROSS]) == {}


def _book(paths: TracedPaths) -> IncidentBook:
    return IncidentBook(IncidentSettings(open_after_s=0.0), lambda _now: "i1", paths)


def test_the_incident_says_what_the_paths_share_and_goes_on_after_a_restart() -> None:
    found = dict.fromkeys(_loss(*ACROSS), Evidence(0.12, 0.0))
    (incident,) = _book(_paths()).look(found, 5, 100.0)
    said = answer(incident)
    assert "8 further findings with the same likely cause, which their paths share: hop m-w" in said.sentence
    assert (said.cause, said.subjects, incident.home) == ("hop m-w", ("m-w",), "a")
    again = _book(_paths())
    again.restore([restored(said, 110.0)])
    assert again.look(found, 5, 110.0) == []
    assert [one.id for one in again.open] == ["i1"]


@pytest.mark.parametrize(("subject", "home"), [(Subject("sink", name="influx"), None), (_loss("ba")[0], "a")])
def test_who_speaks_of_an_incident(subject: Subject, home: str | None) -> None:
    (incident,) = _book(_paths()).look({subject: Evidence(0.5)}, 5, 100.0)
    assert incident.home == home


def test_forty_thousand_paths_are_compared_in_a_fraction_of_a_look() -> None:
    names = [f"s{number}" for number in range(200)]
    mesh = Mesh.model_validate({"sites": {name: {"address": f"{name}.example"} for name in names}})
    paths = TracedPaths(mesh)
    hops = {name: [f"r-{name}-{ttl}" for ttl in range(1, 9)] for name in names}
    for src, dst in mesh.pairs():
        paths.put(src, dst, hops[src])
    bad = [frozenset((names[0], other)) for other in names[1:100]]
    begun_s = time.thread_time()
    paths.common(bad)
    assert time.thread_time() - begun_s < 0.5  # 10 ms on an idle machine
