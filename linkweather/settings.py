"""Reads settings files: TOML in, a frozen model out, or one sentence with file, key and value."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from linkweather.errors import BadValueError, OperatorError
from linkweather.plain_text import CONTROL_CHARACTERS, redacted

Model = TypeVar("Model", bound=BaseModel)

_TWICE = re.compile(r"Cannot (?:declare|overwrite|mutate) .*?\(at line (\d+), column \d+\)", re.DOTALL)
# pydantic's error type → what is allowed, from the error's context and message.
_ALLOWED: Mapping[str, str] = {
    "extra_forbidden": "no such key",
    "missing": "required, but missing",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "string_type": "must be a string in quotes",
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "tuple_type": "must be an array",
    "path_type": "must be a path in quotes",
    "literal_error": "must be {expected}",
    "finite_number": "must be a finite number",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must have at least {min_length} character",
    "string_too_long": "must have at most {max_length} characters",
    "value_error": "must be {error}",
}
_PATTERNS: Mapping[str, str] = {
    r"^[a-z0-9][a-z0-9-]{0,31}$": "a site id has 1 to 32 of a–z, 0–9 and -, and starts with a letter or digit",
    rf"^[^{CONTROL_CHARACTERS}]*$": "must have no control characters",
}
_SHOWN_CHARACTERS = 60
# Keys whose value is a secret, or holds one that no rule finds: the URLs of notifications have tokens in their paths.
_SECRET = re.compile(r"(?:^|[._])(?:password|secret|token|urls)(?:\[\d+\])?$")


def load(path: Path, model: type[Model]) -> Model:
    """Read a settings file. Raises OperatorError: one sentence with file, key and value."""
    return parse(read(path), model, str(path))


def read(path: Path) -> str:
    """The text of a file that the operator named. Raises OperatorError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except OSError as error:
        raise OperatorError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OperatorError(f"{path}: is not UTF-8 text") from None


def parse(text: str, model: type[Model], name: str) -> Model:
    """Parse the text of a settings file called `name`. Raises OperatorError as `load` does."""
    return validate(values_of(text, name), model, name)


def values_of(text: str, name: str) -> dict[str, Any]:
    """The unchecked values of a settings file, for options to be laid over. Raises OperatorError: not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OperatorError(f"{name}: {_toml_sentence(str(error))}") from None


def validate(values: Mapping[str, Any], model: type[Model], name: str) -> Model:
    """Check values that came from a file, an option or a request. Raises BadValueError, the OperatorError of `load`."""
    try:
        return model.model_validate(values, extra="forbid")
    except ValidationError as error:
        key = _key(error.errors(include_url=False)[0]["loc"])
        raise BadValueError(key, redacted(sentence_of(error)), name) from None


def _toml_sentence(message: str) -> str:
    twice = _TWICE.fullmatch(message)
    if twice:
        key = ".".join(re.findall(r"'([^']*)'", message))
        where = f"line {twice[1]}"
        return f"{key or 'a key'} at {where}: declared twice; declare it once"
    return f"is not TOML: {message[0].lower()}{message[1:]}"


def sentence_of(error: ValidationError) -> str:
    """The first fault of several: the key, its value, and what it must be."""
    first = error.errors(include_url=False)[0]
    key = _key(first["loc"])
    if first["type"] == "value_error" and isinstance(first["ctx"]["error"], ValueError) and not _is_leaf(first):
        # A rule about several keys names them itself.
        return f"{key}: {first['ctx']['error']}" if key else str(first["ctx"]["error"])
    allowed = _allowed(first)
    if first["type"] == "missing" or "[key]" in first["loc"]:  # the key is what is wrong, there is no value
        return f"{key}: {allowed}"
    shown = "***" if _SECRET.search(key) else _shown(first["input"])
    return f"{key} = {shown}: {allowed}"


def _is_leaf(error: Any) -> bool:
    return not isinstance(error["input"], BaseModel | dict)


def _allowed(error: Any) -> str:
    if error["type"] == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        return _PATTERNS.get(pattern, f"must match {pattern}")
    template = _ALLOWED.get(error["type"])
    if template is None:
        return str(error["msg"])
    return template.format(**{name: _plain(value) for name, value in error.get("ctx", {}).items()})


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _key(location: tuple[int | str, ...]) -> str:
    key = ""
    for part in location:
        if part == "[key]":
            continue
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    return key


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    shown = "a table" if isinstance(value, dict) else redacted(repr(list(value) if isinstance(value, tuple) else value))
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "…"
