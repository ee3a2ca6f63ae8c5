"""Settings files: a frozen model, or one sentence with file, key and value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, field_validator

from linkweather import settings
from linkweather.errors import OperatorError
from linkweather.mesh import Settings, Tuple


class Inner(Settings):
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    names: Annotated[tuple[str, ...], Tuple, Field(max_length=2)] = ()


class Outer(Settings):
    on: bool = False
    inner: Inner = Inner()
    number: Annotated[int, Field(ge=1, le=9)] = 5
    text: str = "x"
    even: int = 2
    fives: Annotated[int, Field(multiple_of=5)] = 5
    word: Annotated[str, Field(min_length=1, max_length=3, pattern="^[^x]*$")] = "a"

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("an even number")
        return value


def sentence(text: str) -> str:
    with pytest.raises(OperatorError) as error:
        settings.parse(text, Outer, "file.toml")
    return str(error.value)


def test_values_and_defaults_make_a_frozen_model() -> None:
    found = settings.parse("number = 7\n[inner]\nratio = 0.25\n", Outer, "file.toml")
    assert (found.number, found.inner.ratio, found.text) == (7, 0.25, "x")


def test_a_file_is_read_from_its_path(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text("on = true\n")
    assert settings.load(tmp_path / "f.toml", Outer).on


def test_a_mark_at_the_beginning_of_a_file_is_none_of_its_text(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text("on = true\n", encoding="utf-8-sig")
    assert settings.load(tmp_path / "f.toml", Outer).on


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r": cannot be read: Is a directory$"):
        settings.load(tmp_path, Outer)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("numbr = 1", "numbr = 1: no such key"),
        ("inner = 3", "inner = 3: must be a table"),
        ("number = 0", "number = 0: must be at least 1"),
        ("number = 10", "number = 10: must be at most 9"),
        ("number = 1.5", "number = 1.5: must be a whole number"),
        ("on = 1", "on = 1: must be true or false"),
        ("text = true", "text = true: must be a string in quotes"),
        ("number = false", "number = false: must be a whole number"),
        ("[inner]\nratio = 1.0", "inner.ratio = 1.0: must be less than 1"),
        ("[inner]\nratio = 0.0", "inner.ratio = 0.0: must be greater than 0"),
        ('[inner]\nratio = "1"', "inner.ratio = '1': must be a number"),
        ('[inner]\nnames = ["a", 2]', "inner.names[1] = 2: must be a string in quotes"),
        ('[inner]\nnames = ["a", "b", "c"]', "inner.names = ['a', 'b', 'c']: must have at most 2 entries"),
        ("even = 3", "even = 3: must be an even number"),
        ("fives = 3", "fives = 3: Input should be a multiple of 5"),  # pydantic's words, for what has none of ours
        ("word = ''", "word = '': must have at least 1 character"),
        ("word = 'four'", "word = 'four': must have at most 3 characters"),
        ("word = 'x'", "word = 'x': must match ^[^x]*$"),
        ("on = true\non = false\n", "a key at line 2: declared twice; declare it once"),
        ("[inner]\n[inner]", "inner at line 2: declared twice; declare it once"),
        ("on = ", "is not TOML: invalid value (at end of document)"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_key_and_value(text: str, said: str) -> None:
    assert sentence(text) == f"file.toml: {said}"


def test_a_long_value_is_cut() -> None:
    assert sentence(f'number = "{"x" * 500}"') == f"file.toml: number = '{'x' * 59}…: must be a whole number"


def test_values_of_options_are_checked_like_a_file() -> None:
    with pytest.raises(OperatorError, match=r"^the options: number = 0: must be at least 1$"):
        settings.validate({"number": 0}, Outer, "the options")


def test_no_sentence_repeats_a_secret() -> None:
    class Secrets(Settings):
        token: Annotated[str, Field(max_length=1)] = ""
        urls: tuple[int, ...] = ()
        url: int = 0

    for text in ('token = "hunter2"', 'urls = ["slack://hunter2/a"]', 'url = "mqtt://a:hunter2@b"', "hunter = 2"):
        with pytest.raises(OperatorError) as refused:
            settings.parse(text, Secrets, "f")
        assert "hunter2" not in str(refused.value)
