"""Quantities as options."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from linkweather.cli.options import SIZE, Quantity, duration_between, rate_between
from linkweather.errors import OperatorError


def given(kind: Quantity, *arguments: str, default: str | float | None = None) -> object:
    @click.command()
    @click.option("-v", "--value", type=kind, default=default)
    def command(value: object) -> None:
        seen.append(value)

    seen: list[object] = []
    result = CliRunner().invoke(command, arguments)
    if result.exception:
        raise result.exception
    return seen[0]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (SIZE, "2kB", 2000),
        (duration_between(0.1, 60), "100ms", 0.1),
        (duration_between(0.1, 60), "60", 60.0),
        (rate_between(1e3, 1e11), "10M", 1e7),
    ],
)
def test_a_quantity_is_read_in_base_units(kind: Quantity, text: str, value: float) -> None:
    assert given(kind, "--value", text) == value


def test_a_default_may_be_text_or_a_value() -> None:
    assert given(duration_between(0.1, 60), default="2s") == 2.0
    assert given(duration_between(0.1, 60), default=2.0) == 2.0


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (SIZE, "2XB", "--value '2XB': must be a size in bytes such as 2TB, 500GB or 10MiB"),
        (duration_between(0.1, 60), "nan", "--value 'nan': must be a duration such as 50ms, 60s or 5min"),
        (duration_between(0.1, 60), "1ms", "--value '1ms': must be from 100 ms to 60.0 s"),
        (rate_between(1e3, 1e11), "1T", "--value '1T': must be from 1.00 kbit/s to 100 Gbit/s"),
    ],
)
def test_what_is_refused_is_one_sentence_that_names_the_option(kind: Quantity, text: str, sentence: str) -> None:
    with pytest.raises(OperatorError) as error:
        given(kind, "-v", text)
    assert str(error.value) == sentence
