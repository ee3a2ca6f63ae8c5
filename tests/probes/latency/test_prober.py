"""The door for probers: what is taken for one, and what a wrong one costs."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from linkweather import plugins
from linkweather.errors import MeasurementError, OperatorError
from linkweather.mesh import LatencyTests, Settings, Site
from linkweather.mesh_methods import parse_mesh
from linkweather.wire import LatencyRow
from probes.latency import exchanges
from probes.latency.engine import LatencyEngine
from probes.latency.prober import (
    DatagramProber,
    ExchangeProber,
    Method,
    Needs,
    NoOptions,
    ProberCall,
    RoundTrip,
    Wording,
    load,
)
from probes.latency.reflector import Reflector
from probes.latency.session import ProbeOutcome
from probes.latency.stamp import StampProber
from probes.latency.targets import LatencyPeer

BUILT_IN = ("http", "icmp", "stamp", "tcp")


class Scripted:
    """An exchange prober that does what it is given."""

    wording = Wording("Scripted")
    needs = Needs()
    options: type[Settings] = NoOptions

    def __init__(self, does: Callable[[ProberCall], RoundTrip]) -> None:
        self._does = does

    def destination(self, site: Site, options: Any) -> tuple[str, int]:
        del options
        return site.address, 9

    async def exchange(self, call: ProberCall) -> RoundTrip:
        await asyncio.sleep(0.001)
        return self._does(call)


def raising(error: Exception) -> Callable[[ProberCall], RoundTrip]:
    def does(_: ProberCall) -> RoundTrip:
        raise error

    return does


def noting(figures: Mapping[str, float]) -> Callable[[ProberCall], RoundTrip]:
    def does(call: ProberCall) -> RoundTrip:
        for name, value in figures.items():
            call.note(name, value)
        return RoundTrip(0.0005)

    return does


async def measure(
    does: Callable[[ProberCall], RoundTrip], *, count: int = 3
) -> tuple[LatencyRow, list[ProbeOutcome], LatencyEngine]:
    rows: list[LatencyRow] = []
    outcomes: list[ProbeOutcome] = []
    tests = LatencyTests(interval_s=0.01, timeout_s=1.0, report_interval_s=1e9)
    engine = LatencyEngine(
        "a",
        Method("scripted", Scripted(does)),
        tests,
        on_window=lambda _, window: rows.extend(window),
        on_sample=outcomes.append,
        count=count,
    )
    engine.set_peers([LatencyPeer("b", "127.0.0.1", 9)], tests)
    await asyncio.wait_for(engine.run(), 90)
    (row,) = rows
    return row, outcomes, engine


def test_the_built_in_probers_come_through_the_door_and_are_of_one_kind_each() -> None:
    assert plugins.names(plugins.PROBERS) == BUILT_IN
    kinds = {name: isinstance(load(name).prober, DatagramProber) for name in BUILT_IN}
    assert kinds == {"http": False, "icmp": True, "stamp": True, "tcp": False}
    assert [isinstance(load(name).prober, ExchangeProber) for name in BUILT_IN] == [True, False, False, True]


def test_what_is_no_prober_or_cannot_be_made_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> object:
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr(plugins, "load", lambda *_: object)
    with pytest.raises(OperatorError, match=r"^the prober 'dns' \(object\) is neither kind of docs/extending\.md$"):
        load("dns")
    monkeypatch.setattr(plugins, "load", lambda *_: broken)
    with pytest.raises(OperatorError, match=r"^the prober 'dns' cannot be made: ZeroDivisionError: no luck$"):
        load("dns")


def test_a_mesh_keeps_which_package_offers_a_method_that_is_not_linkweather_s_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugins, "package", lambda _, name: "linkweather-dns" if name == "tcp" else "linkweather")
    mesh = parse_mesh("[sites.a]\naddress = '192.0.2.1'\n[sites.b]\naddress = '192.0.2.2'\nmethod = 'tcp'\n", "m.toml")
    assert mesh.packages == {"tcp": "linkweather-dns"}


async def test_an_exchange_s_rtt_and_remark_are_the_row_s() -> None:
    row, outcomes, _ = await measure(lambda _: RoundTrip(0.0005, "kernel", "by the back door"))
    assert (row.method, row.sent, row.received, row.failure) == ("scripted", 3, 3, None)
    assert (row.rtt_p50_s, row.timestamp, row.detail) == (0.0005, "kernel", "by the back door")
    assert (row.lost_forward, row.lost_back, row.reordered, row.duplicated) == (0, 0, 0, 0)
    assert [(outcome.outcome, outcome.rtt_s) for outcome in outcomes] == [("received", 0.0005)] * 3


@pytest.mark.parametrize("rtt_s", [-0.001, 2.0, math.nan])
async def test_an_rtt_that_cannot_be_is_set_aside_and_said(rtt_s: float) -> None:
    row, outcomes, _ = await measure(lambda _: RoundTrip(rtt_s))
    assert (row.received, row.rtt_p50_s, row.detail) == (3, None, "samples set aside: 3 impossible_rtt")
    assert {outcome.outcome for outcome in outcomes} == {"set_aside"}


async def test_figures_are_the_window_s_low_median() -> None:
    values = iter([200.0, 503.0, 200.0, 503.0])

    def does(call: ProberCall) -> RoundTrip:
        call.note("status", next(values))
        return RoundTrip(0.0005)

    row, _, _ = await measure(does, count=4)
    assert row.figures == {"status": 200.0}


@pytest.mark.parametrize(
    ("error", "failure", "detail"),
    [
        (
            MeasurementError("no_such_record", "a.example.org has no AAAA"),
            "no_such_record",
            "a.example.org has no AAAA",
        ),
        (ConnectionRefusedError(111, "Connection refused"), "refused", None),
        (ConnectionResetError(104, "Connection reset by peer"), "closed", "Connection reset by peer"),
        (OSError(24, "Too many open files"), "send_failed", "Too many open files"),
        (KeyError("answer"), "prober_error", "KeyError: 'answer'"),
    ],
)
async def test_an_exchange_that_fails_is_a_result_with_its_reason(
    error: Exception, failure: str, detail: str | None
) -> None:
    row, outcomes, engine = await measure(raising(error))
    assert (row.sent, row.received, row.failure, row.detail, row.rtt_p50_s) == (3, 0, failure, detail, None)
    assert [outcome.outcome for outcome in outcomes] == ["lost"] * 3
    assert engine.counters == ({"prober_error": 3} if failure == "prober_error" else {})


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        ({"Status": 1.0}, "figure 'Status': must have a name of 1 to 32 of a–z, 0–9 and _, starting with a letter"),
        (
            {"a" * 33: 1.0},
            f"figure {'a' * 33!r}: must have a name of 1 to 32 of a–z, 0–9 and _, starting with a letter",
        ),
        ({"a\n": 1.0}, "figure 'a\\n': must have a name of 1 to 32 of a–z, 0–9 and _, starting with a letter"),
        ({"age_s": math.inf}, "figure age_s = inf: must be a finite number"),
        ({f"f{n}": 1.0 for n in range(17)}, "figure 'f16': a probe has at most 16"),
    ],
)
async def test_a_figure_out_of_bounds_fails_its_probe_and_names_itself(
    figures: dict[str, float], sentence: str
) -> None:
    row, _, _ = await measure(noting(figures))
    assert (row.failure, row.detail) == ("prober_error", f"ValueError: {sentence}")


async def test_sixteen_figures_are_not_too_many_and_a_row_holds_no_more() -> None:
    row, _, _ = await measure(noting({f"f{n}": 1.0 for n in range(16)}))
    assert row.figures is not None
    assert len(row.figures) == 16
    number = iter(range(100))

    def does(call: ProberCall) -> RoundTrip:
        for _ in range(10):
            call.note(f"f{next(number)}", 1.0)
        return RoundTrip(0.0005)

    row, _, _ = await measure(does)
    assert row.failure is None
    assert row.figures is not None
    assert len(row.figures) == 16


@pytest.mark.parametrize(("hook", "lost"), [("encode", "prober_error"), ("decode", "no_reply")])
async def test_a_datagram_prober_s_fault_costs_its_probe_and_not_the_engine(
    monkeypatch: pytest.MonkeyPatch, hook: str, lost: str
) -> None:
    def broken(*_: object) -> bytes:
        raise KeyError(hook)

    monkeypatch.setattr(StampProber, hook, broken)
    rows: list[LatencyRow] = []
    tests = LatencyTests(interval_s=0.01, timeout_s=0.2, report_interval_s=1e9)
    with contextlib.closing(Reflector(0, bind=["127.0.0.1"])) as reflector:
        answering = asyncio.create_task(reflector.run())
        engine = LatencyEngine(
            "a", Method("stamp", StampProber()), tests, on_window=lambda _, window: rows.extend(window), count=3
        )
        engine.set_peers([LatencyPeer("b", "127.0.0.1", reflector.port)], tests)
        await asyncio.wait_for(engine.run(), 90)
        answering.cancel()
        await asyncio.wait([answering])
    assert [(row.sent, row.received, row.failure) for row in rows] == [(3, 0, lost)]
    assert engine.counters == {"prober_error": 3}


async def test_more_exchanges_than_the_bound_fail_at_once_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "MOST_RUNNING", 0)
    row, outcomes, engine = await measure(lambda _: RoundTrip(0.0005))
    assert (row.sent, row.received, row.failure) == (3, 0, "send_failed")
    assert [outcome.outcome for outcome in outcomes] == ["lost"] * 3
    assert engine.counters == {"send_failed": 3}


async def test_an_exchange_ends_with_its_engine() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    class Endless(Scripted):
        async def exchange(self, call: ProberCall) -> RoundTrip:
            del call
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

    tests = LatencyTests(interval_s=0.01, timeout_s=60.0)
    engine = LatencyEngine("a", Method("endless", Endless(raising(KeyError()))), tests, on_window=lambda *_: None)
    engine.set_peers([LatencyPeer("b", "127.0.0.1", 9)], tests)
    running = asyncio.create_task(engine.run())
    await asyncio.wait_for(begun.wait(), 90)
    running.cancel()
    await asyncio.wait([running])
    assert ended.is_set()
