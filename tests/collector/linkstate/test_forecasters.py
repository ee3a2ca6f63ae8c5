"""Forecasters on one series of four rows, by hand; the first of five columns of time is before the series began."""

import math

import numpy as np
import pytest

from collector.linkstate.forecasters import FORECASTERS, Floats

NAN = math.nan
VALUES = np.array([[NAN], [4.0], [1.0], [7.0], [2.0]])
GAPS = np.array([[0.0], [0.0], [1.0], [1.0], [3.0]])
# After 1 step a weight is 1/e of what it was.
E = math.exp(-1.0)


def said(name: str, gaps: Floats = GAPS) -> list[float]:
    with np.errstate(invalid="ignore"):
        return [float(value) for value in FORECASTERS[name](VALUES, gaps)[:, 0]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("last value", [NAN, 4.0, 1.0, 7.0, 2.0]),
        ("median of 3", [NAN, 4.0, 2.5, 4.0, 2.0]),
        ("median of 5", [NAN, 4.0, 2.5, 4.0, 3.0]),
        ("mean of 5", [NAN, 4.0, 2.5, 4.0, 3.5]),
    ],
)
def test_windows_use_what_rows_there_are(name: str, expected: list[float]) -> None:
    assert said(name) == pytest.approx(expected, nan_ok=True)


def test_smoothing_weighs_a_row_by_its_age_in_time() -> None:
    after_two = (4 * E + 1) / (E + 1)
    after_three = (4 * E**2 + E + 7) / (E**2 + E + 1)
    after_four = (4 * E**5 + E**4 + 7 * E**3 + 2) / (E**5 + E**4 + E**3 + 1)
    assert said("smoothed over 1 step") == pytest.approx([NAN, 4.0, after_two, after_three, after_four], nan_ok=True)


def test_a_mean_forgets_rows_before_its_window() -> None:
    values = np.array([[100.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    assert FORECASTERS["mean of 5"](values, np.ones((6, 1)))[-1, 0] == 3.0
