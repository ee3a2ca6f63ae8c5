"""What ails a machine, by readings that tests make up."""

from __future__ import annotations

import errno
import os

import pytest

from linkweather.cli.diagnosis import Diagnosis
from linkweather.cli.machine_diagnosis import (
    BrokerReading,
    FolderReading,
    PeerReading,
    PortReading,
    of_broker,
    of_clock,
    of_folder,
    of_memory,
    of_peers,
    of_port,
)

MB, GB = 10**6, 10**9
OWN = ("linkweather", " probe")


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _one(found: list[Diagnosis], what: str, todo: str) -> None:
    (one,) = found
    assert one.subject == "gz"
    assert what in one.what
    assert todo in one.todo


@pytest.mark.parametrize(
    ("folder", "what", "todo"),
    [
        (FolderReading("/d", _error(errno.EACCES)), "nothing can be written in /d: Permission denied", "chown"),
        (FolderReading("/d", _error(errno.ENOSPC)), "No space left", "make room"),
        (FolderReading("/d", _error(errno.EROFS)), "Read-only", "mount its disk for writing"),
        (FolderReading("/d", None, 63 * MB), "63.0 MB are left in /d, and 64.0 MB may be needed", "make room"),
        (FolderReading("/d", None, GB, ("a", "b")), "than the folder: a, b", "chown"),
        (FolderReading("/d", None, GB, ("a", "b", "c", "d")), "a, b, c, …", "chown"),
    ],
)
def test_a_folder(folder: FolderReading, what: str, todo: str) -> None:
    _one([*of_folder("gz", folder, 64 * MB)], what, todo)


def test_a_folder_with_just_enough_room_is_well() -> None:
    assert [*of_folder("gz", FolderReading("/d", None, 64 * MB), 64 * MB)] == []


@pytest.mark.parametrize(
    ("port", "what", "todo"),
    [
        (PortReading("UDP port 0.0.0.0:1", _error(errno.EADDRINUSE), "nc -lu 1"), "is taken by `nc -lu 1`", "stop"),
        (PortReading("UDP port 0.0.0.0:1", _error(errno.EADDRINUSE)), "not seen from here", "stop"),
        (PortReading("UDP port 0.0.0.0:1", _error(errno.EACCES)), "opened: Permission denied", "another `port`"),
    ],
)
def test_a_port(port: PortReading, what: str, todo: str) -> None:
    _one([*of_port("gz", port, OWN, "`port`")], what, todo)


@pytest.mark.parametrize(
    "port",
    [
        PortReading("UDP port 0.0.0.0:1"),
        PortReading("UDP port 0.0.0.0:1", _error(errno.EADDRINUSE), "python /usr/bin/linkweather probe --config p"),
    ],
)
def test_a_port_that_is_free_or_held_by_our_own_probe_is_well(port: PortReading) -> None:
    assert [*of_port("gz", port, OWN, "`port`")] == []


def test_a_taken_port_that_no_program_of_ours_may_hold() -> None:
    port = PortReading("TCP port 0.0.0.0:1", _error(errno.EADDRINUSE), "linkweather probe")
    _one([*of_port("gz", port, (), "`throughput_ports`")], "taken", "`throughput_ports`")


@pytest.mark.parametrize(
    ("reading", "what", "todo"),
    [
        (BrokerReading("mqtt://b:1", resolved=False), "name of the broker mqtt://b:1 is not resolved", "DNS"),
        (BrokerReading("mqtt://b:1", error="the broker refuses us (x): check"), "refuses us", "password"),
        (BrokerReading("mqtt://b:1", error="the broker is away (y)"), "is away", "start it"),
        (BrokerReading("mqtt://b:1", complaints=("mesh: not allowed",)), "mesh: not allowed", "ACL"),
    ],
)
def test_a_broker(reading: BrokerReading, what: str, todo: str) -> None:
    _one([*of_broker("gz", reading)], what, todo)


def test_a_broker_that_lets_us_do_all_is_well() -> None:
    assert [*of_broker("gz", BrokerReading("mqtt://b:1"))] == []


def test_a_clock() -> None:
    assert [*of_clock("gz", synchronised=True)] == []
    _one([*of_clock("gz", synchronised=False)], "does not call its clock synchronised", "timedatectl")
    _one([*of_clock("gz", synchronised=None)], "is unknown", "adjtimex")


def test_memory() -> None:
    assert [*of_memory("gz", 1024 * MB, 100 * MB, 512 * MB)] == []
    _one([*of_memory("gz", 1023 * MB, 100 * MB, 512 * MB)], "journal alone may take 512 MB", "memory_limit_mb")
    _one([*of_memory("gz", 2 * GB, 99 * MB, 512 * MB)], "99.0 MB of 2.00 GB", "stop what takes it")


def test_probes_that_just_fit_the_packets_to_all_peers_are_well() -> None:
    peers = [PeerReading("cc", 4, 1500), PeerReading("gs", 6, 1520), PeerReading("un", 4)]
    assert [*of_peers("gz", peers, 1472)] == []


def test_probes_that_are_cut_on_the_way_to_a_peer() -> None:
    peers = [PeerReading("cc", 4, 1500), PeerReading("gs", 6, 1500)]
    _one(
        [*of_peers("gz", peers, 1453)], "probes of 1453 bytes are cut into fragments on the way to 1 peer (gs)", "1452"
    )


def test_of_many_peers_that_are_not_resolved_three_are_named() -> None:
    peers = [PeerReading(name) for name in "abcd"]
    _one([*of_peers("gz", peers, 44)], "4 peers are not resolved (a, b, c, …)", "DNS")
