from __future__ import annotations

from linkweather.lab.lab_engine import number_routers, number_sites


def test_sites_are_numbered_from_one_in_the_order_of_the_file() -> None:
    numbered = number_sites(["x", "a"])
    assert [str(its.v4) for its in numbered.values()] == ["10.77.0.1", "10.77.0.2"]
    assert [str(its.loopback) for its in numbered.values()] == ["127.77.0.1", "127.77.0.2"]


def test_250th_site_has_hexadecimal_in_its_ipv6_address() -> None:
    last = number_sites(f"s{number}" for number in range(250))["s249"]
    assert (str(last.v4), str(last.v6)) == ("10.77.0.250", "fd77::fa")


def test_routers_have_a_block_of_their_own() -> None:
    first = number_routers(["r9", "r1"])["r9"]
    assert (str(first.v4), str(first.v6)) == ("10.78.0.1", "fd78::1")
