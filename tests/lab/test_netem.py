from __future__ import annotations

from linkweather.lab.lab_engine import LabAddresses
from linkweather.lab.labfile import Behaviour
from linkweather.lab.netem import counters, netem_arguments, route_lines, site_lines, veth_line

A, B = LabAddresses(1), LabAddresses(12)


def test_qdisc_has_every_setting_of_the_link() -> None:
    # 90 Mbit/s for 100 + 1 + 99 ms are 2.25 MB: 250 packets of 9000 octets, and one in transmission.
    behaviour = Behaviour(delay_s=0.1, jitter_s=0.001, rate_bps=90e6, loss_ratio=0.015, queue_s=0.099)
    assert netem_arguments(behaviour, cut=False) == ("netem delay 100000us 1000us loss 1.5% rate 90000000bit limit 251")


def test_qdisc_without_jitter_names_none() -> None:
    behaviour = Behaviour(delay_s=0, rate_bps=72e6, queue_s=0.1)
    assert netem_arguments(behaviour, cut=False) == "netem delay 0us loss 0% rate 72000000bit limit 101"


def test_cut_link_loses_everything() -> None:
    behaviour = Behaviour(delay_s=0.01, duplicate_ratio=0.01, reorder_ratio=0.25)
    assert " loss 0% duplicate 1% reorder 25% rate " in netem_arguments(behaviour, cut=False)
    assert " loss 100% " in netem_arguments(Behaviour(delay_s=0.01), cut=True)


def test_veth_pair_is_made_with_both_ends_in_place() -> None:
    assert veth_line(A, B, "/proc/7/fd/9") == (
        "link add wan12 address 02:77:00:00:01:0c mtu 9000 gso_max_segs 1 type veth"
        " peer name wan1 address 02:77:00:00:0c:01 mtu 9000 gso_max_segs 1 netns /proc/7/fd/9"
    )


def test_site_has_its_addresses_on_lo() -> None:
    assert site_lines(B) == ["address add 10.77.0.12/32 dev lo", "address add fd77::c/128 dev lo nodad"]


def test_way_to_a_peer_needs_no_arp() -> None:
    assert route_lines(A, B) == [
        "link set wan12 addrgenmode none",
        "link set wan12 up",
        "neighbour replace 10.77.0.12 lladdr 02:77:00:00:0c:01 dev wan12 nud permanent",
        "neighbour replace fd77::c lladdr 02:77:00:00:0c:01 dev wan12 nud permanent",
        "route add 10.77.0.12/32 dev wan12 src 10.77.0.1",
        "route add fd77::c/128 dev wan12 src fd77::1",
    ]


def test_counters_are_those_of_the_links_own_device() -> None:
    printed = [
        {"kind": "noqueue", "dev": "lo", "packets": 9, "bytes": 9, "drops": 9},
        {"kind": "netem", "dev": "wan12", "packets": 5, "bytes": 500, "drops": 2},
    ]
    assert counters(printed, "wan12") == {
        "forwarded_packets": 5,
        "forwarded_bytes": 500,
        "dropped": {"netem": 2},
    }
