from __future__ import annotations

import pytest

from linkweather.errors import OperatorError
from linkweather.quantities import bits_per_second, ratio, seconds, size_bytes


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
    with pytest.raises(OperatorError, match=r"^'50y': must be a duration such as 50ms, 60s or 5min$"):
        seconds("50y")


@pytest.mark.parametrize("text", ["", "-5M", "fast", "1e999", "nan"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match="must be a rate in bit/s such as 100M or 1e8"):
        bits_per_second(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2TB", 2 * 10**12),
        ("500 GB", 500 * 10**9),
        ("10MiB", 10 * 2**20),
        ("1KiB", 1024),
        ("1.5kB", 1500),
        ("7", 7),
        ("7B", 7),
        ("1e9", 10**9),
        ("1EiB", 2**60),
    ],
)
def test_size_with_its_unit_decimal_or_binary(text: str, value: int) -> None:
    assert size_bytes(text) == value


@pytest.mark.parametrize("text", ["-1TB", "2tb", "1e999", "nan", "TB", "2 TB/s"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match=r"must be a size in bytes such as 2TB, 500GB or 10MiB$"):
        size_bytes(text)
