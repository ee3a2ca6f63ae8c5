"""Whose reply is whose."""

from __future__ import annotations

import random
from socket import AF_INET, AF_INET6

import pytest

from linkweather.errors import MessageError
from linkweather.mesh import Mesh
from probes.latency import prober
from probes.latency.stamp import StampProber
from probes.latency.stamp_packet import StampReply
from probes.latency.targets import Closed, LatencyPeer, LatencyTarget, Route, Targets

HERE = ("192.0.2.1", 8620)
THERE = ("192.0.2.2", 8620)


class Same(random.Random):
    """Proposes every number twice."""

    def __init__(self) -> None:
        super().__init__(1)
        self._numbers = iter([5, 5, 6])

    def randint(self, a: int, b: int) -> int:
        del a, b
        return next(self._numbers)


def reply(ssid: int) -> StampReply:
    return StampReply(0, 0, 0, ssid, 0, 0, 0, 0, 0)


def reached(targets: Targets, site: str, address: tuple[str, int]) -> LatencyTarget:
    target = targets.add(LatencyPeer(site, *address), 1.0)
    targets.reach(target, Route(AF_INET, address))
    return target


def test_a_session_number_names_the_target_and_its_address_must_fit() -> None:
    targets: Targets = Targets("a", "stamp", Same())
    b, c = reached(targets, "b", HERE), reached(targets, "c", THERE)
    assert (b.session.ssid, c.session.ssid) == (5, 6)
    assert targets.owner(reply(5), HERE) is b
    for ssid, source in ((5, THERE), (7, HERE)):
        with pytest.raises(MessageError, match="stray"):
            targets.owner(reply(ssid), source)


def test_a_fault_of_a_prober_costs_the_peer_that_it_cannot_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("port")

    monkeypatch.setattr(StampProber, "destination", broken)
    mesh = Mesh.model_validate({"sites": {name: {"address": f"{name}.test", "port": 9} for name in "ab"}})
    peer = LatencyPeer.of(mesh, "b", prober.load("stamp"))
    assert (peer.name, peer.closed) == (("b.test", 9), Closed("prober_error", "KeyError: 'port'"))


def test_without_a_session_number_the_address_tells() -> None:
    targets: Targets = Targets("a", "stamp", random.Random(1))
    b = reached(targets, "b", HERE)
    assert targets.owner(reply(0), HERE) is b
    targets.reach(b, Route(AF_INET, THERE))
    assert targets.owner(reply(0), THERE) is b
    assert targets.at(HERE) is None


def test_a_removed_target_leaves_the_address_to_its_heir() -> None:
    targets: Targets = Targets("a", "stamp", random.Random(1))
    b, c = reached(targets, "b", HERE), reached(targets, "c", HERE)
    targets.remove(b)
    assert targets.at(HERE) is c
    assert b.peer not in targets
    assert list(targets) == [targets[c.peer]]


def test_a_target_without_an_address_owns_nothing() -> None:
    targets: Targets = Targets("a", "stamp", random.Random(1))
    b = targets.add(LatencyPeer("b", *HERE), 1.0)
    with pytest.raises(MessageError, match="stray"):
        targets.owner(reply(b.session.ssid), HERE)


def test_a_name_keeps_its_address_while_it_has_it_or_does_not_resolve() -> None:
    targets: Targets = Targets("a", "stamp", random.Random(1))
    b = targets.add(LatencyPeer("b", "b.example.org", 8620), 1.0)
    here, there = Route(AF_INET, HERE), Route(AF_INET, THERE)
    for now, choices, families, route, reason in (
        (1.0, [], {AF_INET}, None, "unresolved"),
        (2.0, [here], {AF_INET6}, None, "no_local_address"),
        (3.0, [here, there], {AF_INET}, here, None),
        (4.0, [there, here], {AF_INET}, here, None),
        (5.0, [], {AF_INET}, here, None),
        (6.0, [there], {AF_INET}, there, None),
    ):
        targets.resolved(b.peer.name, choices, families, now)
        assert (b.route, b.reason) == (route, reason)
    assert (b.since, b.probed) == (6.0, "192.0.2.2")


def test_after_the_last_address_comes_the_first_again() -> None:
    targets: Targets = Targets("a", "stamp", random.Random(1))
    b = targets.add(LatencyPeer("b", "b.example.org", 8620), 1.0)
    targets.resolved(b.peer.name, [Route(AF_INET, HERE), Route(AF_INET, THERE)], {AF_INET}, 1.0)
    seen = []
    for now in (2.0, 3.0, 4.0):
        targets.try_next(b, now)
        seen.append((b.probed, b.since))
    assert seen == [("192.0.2.2", 2.0), ("192.0.2.1", 3.0), ("192.0.2.2", 4.0)]


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "fe80::1%eth0"])
def test_an_address_in_figures_is_not_named_again(address: str) -> None:
    targets: Targets = Targets("a", "stamp", random.Random(1))
    b = targets.add(LatencyPeer("b", address, 8620), 1.0)
    assert b.probed is None
    targets.reach(b, Route(AF_INET, (address, 8620)))
    assert b.probed is None
