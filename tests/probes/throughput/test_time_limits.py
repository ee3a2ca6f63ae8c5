"""Time limits that grow with the RTT: their arithmetic, and tests over paths as long as a satellite's."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from linkweather.lab.lab import Lab
from linkweather.lab.labfile import LabFile, LabLink, LabSite
from linkweather.wire import Answer
from probes.throughput import time_limits
from probes.throughput.leases import MAX_CLAIM_S
from probes.throughput.time_limits import MOST_RTT_S, UNKNOWN_RTT_S, duration_s, lease_margin_s, limit_s
from tests import servers
from tests.lab.labs import as_root
from tests.probes.throughput import ends
from tests.probes.throughput.test_negotiation import TESTS, Wire, site
from tests.waiting import until

LONG_S = 0.6


def test_limit_is_the_time_without_delay_and_a_number_of_round_trips() -> None:
    assert limit_s("margin", 0.0) == 3.0
    assert limit_s("margin", 0.6) == pytest.approx(12.0)
    assert limit_s("connect", None) == limit_s("connect", UNKNOWN_RTT_S)
    assert limit_s("silence", 3600.0) == limit_s("silence", MOST_RTT_S)


def test_a_test_over_a_long_path_has_time_for_slow_start_in_whole_seconds() -> None:
    assert [duration_s(3.0, rtt_s) for rtt_s in (None, 0.02, 0.08, 0.3, 3600.0)] == [3.0, 3.0, 4.0, 5.0, 19.0]


def test_lease_is_longer_than_all_steps_of_its_test() -> None:
    steps = sum(limit_s(step, LONG_S) for step in ("heard", "offer", "accept", "margin", "served"))
    assert lease_margin_s(LONG_S) > steps
    assert (
        duration_s(60, MOST_RTT_S) + lease_margin_s(MOST_RTT_S) < MAX_CLAIM_S
    )  # the longest test over the longest path


async def test_lease_of_a_link_grows_with_the_rtt_that_was_measured_on_it(tmp_path: Path) -> None:
    wire = Wire()
    b = site(wire, "b", tmp_path)
    b.note_rtt("a", LONG_S)
    asked = asyncio.create_task(b.measure("a", "192.0.2.1", TESTS), name="asked")
    await until(lambda: wire.sent)
    remaining_s = wire.leases["b"].remaining_s(asyncio.get_running_loop().time())
    assert remaining_s == pytest.approx(duration_s(1.0, LONG_S) + lease_margin_s(LONG_S), abs=0.5)
    (test,) = b._signalling._pending.values()
    b.handle_answer("a", Answer(id=test.id, accepted=False, reason="throughput_off"))
    await asked


@pytest.fixture
async def long_path(tmp_path: Path) -> AsyncIterator[Lab]:
    link = LabLink(src="a", dst="b", delay_s=LONG_S / 2, rate_bps=50e6, loss_ratio=0.01, both=True)
    async with Lab(LabFile(sites={"a": LabSite(), "b": LabSite()}, links=(link,)), data_dir=tmp_path, seed=1) as lab:
        if not lab.emulated:
            pytest.skip(f"no emulation here: {lab.note}")
        yield lab


@pytest.mark.root
class TestOverALongPath:
    pytestmark = as_root

    async def test_a_test_ends_with_a_result(self, long_path: Lab) -> None:
        servers.require("iperf3")
        here, there = (functools.partial(long_path.command, name) for name in ("b", "a"))
        async with ends.server(there, bind=long_path.addresses["a"], port=5201):
            found = await ends.client(here, host=long_path.addresses["a"], port=5201, duration_s=3, rtt_s=LONG_S)
        assert (found.failure, found.stopped_by) == (None, "time")
        assert found.goodput_bps


def test_every_step_has_a_limit() -> None:
    assert set(time_limits.LIMITS) == set(time_limits.Step.__args__)  # type: ignore[attr-defined]
