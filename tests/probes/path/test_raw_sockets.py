"""The source ports of flows: the link's own, or any where somebody has one of them."""

from __future__ import annotations

import contextlib
import socket

from probes.path.raw_sockets import Destination, reserve

HERE = "127.0.0.1"


def reserved(first: int | None) -> list[int]:
    with contextlib.ExitStack() as stack:
        return reserve("udp", Destination(socket.AF_INET, HERE), HERE, 3, stack, first=first)


def test_flows_have_the_same_ports_each_time_they_are_asked_for() -> None:
    first = next(port for port in range(61_000, 65_000, 8) if reserved(port) == [port, port + 1, port + 2])
    assert reserved(first) == [first, first + 1, first + 2]
    assert len(set(reserved(None))) == 3


def test_flow_whose_port_is_taken_has_another_and_the_others_keep_theirs() -> None:
    first = next(port for port in range(61_000, 65_000, 8) if reserved(port) == [port, port + 1, port + 2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind((HERE, first + 1))
        one, other, third = reserved(first)
    assert (one, third) == (first, first + 2)
    assert other != first + 1


def test_echo_identifiers_count_from_the_first() -> None:
    with contextlib.ExitStack() as stack:
        assert reserve("icmp", Destination(socket.AF_INET, HERE), HERE, 3, stack, first=65_535) == [65_535, 0, 1]
        assert len(reserve("icmp", Destination(socket.AF_INET, HERE), HERE, 3, stack)) == 3
