from __future__ import annotations

import pytest

from linkweather.errors import OperatorError
from linkweather.lab.quantities import bits_per_second, ratio, seconds


@pytest.mark.parametrize(
    ("text", "value"), [("50ms", 0.05), ("0.5", 0.5), ("2 s", 2.0), ("30us", 3e-5), ("5e-3", 0.005), ("5min", 300.0)]
)
def test_duration_with_its_unit(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "value"), [("100M", 1e8), ("1.5G", 1.5e9), ("8e6", 8e6), ("64k", 64e3), ("5Mbit", 5e6)]
)
def test_rate_with_its_unit(text: str, value: float) -> None:
    assert bits_per_second(text) == pytest.approx(value)


@pytest.mark.parametrize(("text", "value"), [("0.1", 0.1), ("10%", 0.1), ("0", 0.0)])
def test_ratio_or_percentage(text: str, value: float) -> None:
    assert ratio(text) == pytest.approx(value)


def test_unknown_unit_is_refused_with_an_example() -> None:
    with pytest.raises(OperatorError, match=r"^'50d': must be a duration such as 50ms, 60s or 5min$"):
        seconds("50d")


@pytest.mark.parametrize("text", ["", "-5M", "fast", "1e999", "nan"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match="must be a rate in bit/s such as 100M or 1e8"):
        bits_per_second(text)
