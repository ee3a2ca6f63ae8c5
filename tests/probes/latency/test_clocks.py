"""Both clocks at one moment."""

from __future__ import annotations

import time

import pytest

from probes.latency import clocks


def test_clocks_that_were_read_with_an_interruption_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monotonic = iter([1.0, 1.005, 2.0, 2.00001])
    wall = iter([1_004_000_000, 2_000_000_000])
    monkeypatch.setattr(time, "monotonic", lambda: next(monotonic))
    monkeypatch.setattr(time, "time_ns", lambda: next(wall))
    assert clocks.moment() == (2.0, 2_000_000_000)


def test_the_kernel_says_how_good_its_clock_is() -> None:
    state = clocks.read()
    assert state.error_s >= 0
