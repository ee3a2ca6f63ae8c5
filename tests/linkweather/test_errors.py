"""One tree of errors, and what the package shows of it."""

from __future__ import annotations

import ast
import builtins
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import linkweather
from linkweather import errors

ROOT = Path(__file__).resolve().parents[2]
BUILTIN = {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception)}


def error_classes() -> Iterator[tuple[str, set[str]]]:
    """The name and the bases' names of every class of ours that is raised."""
    for folder in ("linkweather", "probes", "collector", "page"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                    if any(base in BUILTIN or base.endswith("Error") for base in bases):
                        yield node.name, bases


def test_every_error_derives_from_linkweather_error_and_is_called_one() -> None:
    found = dict(error_classes())
    assert len(found) > 10
    for name, bases in found.items():
        assert name.endswith("Error")
        assert bases - BUILTIN or name == "LinkweatherError"


def test_the_head_of_the_module_names_every_public_error() -> None:
    public = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception) and not name.startswith("_")
    }
    assert set(re.findall(r"\w+Error\b", errors.__doc__ or "")) - {"ValueError"} == public


def test_everything_that_the_package_shows_is_there() -> None:
    for name in linkweather.__all__:
        assert getattr(linkweather, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = linkweather.Nothing


def test_importing_the_package_loads_no_http_client() -> None:
    program = "import linkweather, sys; sys.exit('httpx' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_operator_error_is_found_in_a_group_of_nothing_else() -> None:
    mistake = errors.OperatorError("no")
    group = ExceptionGroup("all", [ExceptionGroup("some", [mistake])])
    assert errors.operator_error(group) is mistake
    assert errors.operator_error(ExceptionGroup("all", [mistake, ValueError("ours")])) is None
