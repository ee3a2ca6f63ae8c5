"""Pages of pairs in the order of names, also while the mesh changes between them."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.linkstate.link_index import NameOrder, Pair

SITES = ("b", "a-1", "a", "c")
EVERY = list(itertools.permutations(SITES, 2))


def order_of(pairs: list[Pair]) -> NameOrder:
    src, dst = (np.array([SITES.index(pair[end]) for pair in pairs], np.int32) for end in (0, 1))
    return NameOrder(SITES, src, dst)


def page_of(pairs: list[Pair], limit: int, after: Pair | None) -> tuple[list[Pair], Pair | None]:
    places, last = order_of(pairs).page(limit, after)
    return [pairs[place] for place in places], last


def test_pages_are_by_source_then_by_destination_and_the_last_one_says_so() -> None:
    first, last = page_of(EVERY, 5, None)
    assert first == [("a", "a-1"), ("a", "b"), ("a", "c"), ("a-1", "a"), ("a-1", "b")]
    assert last == ("a-1", "b")
    assert page_of(EVERY, 7, last) == ([("a-1", "c"), *itertools.product("b", ("a", "a-1", "c")), *CS], None)
    assert page_of(EVERY, 5, ("c", "b")) == ([], None)


CS = [("c", "a"), ("c", "a-1"), ("c", "b")]


def test_a_page_begins_after_a_pair_that_is_gone() -> None:
    assert page_of(EVERY, 1, ("a", "aa"))[0] == [("a", "b")]  # no such destination
    assert page_of(EVERY, 1, ("a", "zz"))[0] == [("a-1", "a")]
    assert page_of(EVERY, 1, ("aa", "zz"))[0] == [("b", "a")]  # no such source
    assert page_of([("c", "a"), ("a", "b")], 1, ("a", "a"))[0] == [("a", "b")]  # no such pair
    assert page_of(EVERY, 1, ("zz", "a")) == ([], None)


def test_a_mesh_without_links_has_one_page_without_any() -> None:
    assert page_of([], 3, None) == page_of([], 3, ("a", "b")) == ([], None)
    assert NameOrder((), np.zeros(0, np.int32), np.zeros(0, np.int32)).page(3, ("a", "b"))[1] is None


@given(st.lists(st.sets(st.sampled_from(EVERY)), min_size=1), st.integers(1, 4))
def test_a_pair_that_stays_is_on_one_page_however_the_mesh_changes_between_them(
    meshes: list[set[Pair]], limit: int
) -> None:
    seen: list[Pair] = []
    after: Pair | None = None
    for number in itertools.count():
        mesh = meshes[min(number, len(meshes) - 1)]
        page, after = page_of(list(mesh), limit, after)
        seen += page
        if after is None:
            break
    assert seen == sorted(set(seen))
    assert set.intersection(*meshes[: number + 1]) <= set(seen)
