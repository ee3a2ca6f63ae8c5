"""Weights of links are published for each site of ours, once there are goodputs, and again where a broker is new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from collector import weight_publisher
from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import DIRECT
from collector.routing.costs import forecast_goodputs
from collector.weight_publisher import WeightPublisher
from linkweather.mesh import Mesh
from linkweather.wire import LinkWeights, decode, topics
from tests.waiting import running_task, until

MESH = Mesh.model_validate({"sites": {name: {"address": f"{name}.test"} for name in "abc"}})
BPS = np.array([[np.nan, 1e9, 2e9], [1e9, np.nan, np.nan], [1e9, 2e9, np.nan]])
SNAPSHOT = Snapshot.of("abc", at=100.0, goodput_p50_bps=BPS, goodput_p10_bps=0.8 * BPS)


class Broker:
    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.sent: list[str] = []
        self.published: dict[str, LinkWeights] = {}

    async def publish(self, topic: str, payload: bytes) -> bool:
        self.sent.append(topic)
        if self.takes:
            self.published[topic] = decode(LinkWeights, payload)
        return self.takes


@asynccontextmanager
async def publishing(
    broker: Broker, owned: str = "abc", snapshot: Snapshot = SNAPSHOT
) -> AsyncIterator[WeightPublisher]:
    publisher = WeightPublisher(MESH, broker.publish, lambda site: site in owned)
    newest = (snapshot, forecast_goodputs(snapshot), np.full((3, 3), DIRECT, np.int32))
    async with running_task(publisher.run(lambda: newest)):
        yield publisher


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_publisher, "LOOK_EVERY_S", 0.01)


async def test_each_site_of_ours_is_sent_the_weights_of_the_measured_links_to_it() -> None:
    broker = Broker()
    async with publishing(broker, "bc") as publisher:
        await until(lambda: len(broker.sent) == 2)
        publisher.on_connect()  # an empty broker
        await until(lambda: len(broker.sent) == 4)
        publisher.apply_mesh(MESH)
        await until(lambda: len(broker.sent) == 6)
    assert broker.published.keys() == {topics.weights("b"), topics.weights("c")}
    assert [broker.published[topics.weights(site)].src for site in "bc"] == [("a", "c"), ("a",)]
    assert all(0.25 <= rounds <= 6 for weights in broker.published.values() for rounds in weights.rounds)


async def test_what_a_broker_does_not_take_is_sent_again() -> None:
    broker = Broker(takes=False)
    async with publishing(broker):
        await until(lambda: len(broker.sent) >= 6)
        broker.takes = True
        await until(lambda: len(broker.published) == 3)


async def test_without_goodputs_there_are_no_weights() -> None:
    broker = Broker()
    nothing = Snapshot.of("abc", rtt_p50_s=np.full((3, 3), 0.1))
    async with publishing(broker, snapshot=nothing) as publisher:
        publisher.on_connect()
        await asyncio.sleep(0.1)
    assert broker.sent == []
