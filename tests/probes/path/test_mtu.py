from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.path.mtu import MtuSearch


def tried(first: int, least: int, path: int, *, says: bool = True, black_hole: bool = False) -> tuple[int | None, int]:
    """What is found on a path of that MTU, and by how many packets."""
    search, count = MtuSearch(first, least), 0
    while search.size_bytes is not None:
        count += 1
        if search.size_bytes <= path:
            search.passed()
        elif black_hole:
            search.silent()
        else:
            search.too_big(path if says else 0)
    return search.found_bytes, count


def test_whole_interface_mtu_takes_one_packet() -> None:
    assert tried(1500, 68, 9000) == (1500, 1)


def test_router_that_says_what_fits_takes_two() -> None:
    assert tried(9000, 68, 1437) == (1437, 2)


def test_router_that_does_not_say_is_asked_by_usual_sizes() -> None:
    # RFC 1191 §7.1 calls these plateaus. Of the 17 below 1500 it tries 1420, 1460, 1480, 1476.
    assert tried(1500, 68, 1476, says=False) == (1476, 5)


def test_black_hole_is_found_by_silence_each_time_twice() -> None:
    # Silent at 1500 and 1492, twice each; 1400, 1450, 1476 and 1480 pass.
    assert tried(1500, 68, 1480, black_hole=True) == (1480, 8)
    assert tried(9000, 68, 1400, black_hole=True)[0] == 1400


def test_path_that_carries_nothing_has_no_mtu() -> None:
    assert tried(1500, 1280, 1000, black_hole=True)[0] is None
    assert tried(1280, 1280, 0, says=False)[0] is None


@pytest.mark.parametrize("said", [0, 67, 1500, 9000])
def test_nonsense_is_not_followed(said: int) -> None:
    search = MtuSearch(1500, 68)
    search.too_big(said)
    assert search.size_bytes == 1400


def test_loss_by_chance_does_not_make_it_smaller() -> None:
    search = MtuSearch(1500, 68)
    search.silent()
    assert search.size_bytes == 1500
    search.passed()
    assert search.found_bytes == 1500
    search.too_big(1400)  # too late: a duplicate
    assert search.found_bytes == 1500


@given(st.integers(68, 65535), st.integers(0, 65535), st.lists(st.integers(-1, 65535), max_size=500))
def test_every_search_ends_within_what_is_possible(first: int, path: int, said: list[int]) -> None:
    search = MtuSearch(first, 68)
    sizes = []
    for mtu in [*said, *[-1] * 100]:
        if search.size_bytes is None:
            break
        sizes.append(search.size_bytes)
        if search.size_bytes <= path:
            search.passed()
        elif mtu < 0:
            search.silent()
        else:
            search.too_big(mtu)
    assert search.size_bytes is None
    assert max(sizes) <= first
    assert search.found_bytes is None or search.found_bytes in sizes
