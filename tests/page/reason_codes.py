"""Every code by which a probe says why a measurement failed or waits, as its sources have them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.documents import ROOT

_CODE = re.compile(r"[a-z]+(_[a-z]+)*")
_CALLS = {"MeasurementError": 0, "Fault": 0, "failed": 2, "fail": 1, "Unreached": 1, "declined": 1}
_NAMES = {"REASONS", "OTHER_ERROR", "LEASED", "BUDGET", "TOO_SOON", "Reason", "Signal", "reason", "FOR_NOW", "NO_END"}
_FUNCTIONS = {"refusal", "_failure"}  # whose results are codes
_BY_HAND = ROOT / "probes" / "adhoc"  # what a person tests by hand is not published


def reason_codes() -> set[str]:
    """The codes."""
    paths = (path for path in (ROOT / "probes").rglob("*.py") if _BY_HAND not in path.parents)
    return {code for path in paths for code in _codes(ast.parse(path.read_text("utf-8")))}


def _codes(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            place = _CALLS.get(_name(node.func))
            if place is not None and len(node.args) > place:
                yield from _texts(node.args[place])
            yield from (code for one in node.keywords if one.arg == "failure" for code in _texts(one.value))
        elif isinstance(node, ast.Assign) and any(_name(one) in _NAMES for one in node.targets):
            yield from _texts(node.value)
        elif isinstance(node, ast.FunctionDef) and node.name in _FUNCTIONS:
            yield from (
                code
                for line in node.body
                for one in ast.walk(line)
                if isinstance(one, ast.Constant)
                for code in _texts(one)
            )
        elif isinstance(node, ast.AnnAssign) and _name(node.target) in _NAMES and node.value is not None:
            yield from _texts(node.value)


def _texts(found: ast.AST) -> Iterator[str]:
    """The codes of an expression: of a table its values."""
    parts: list[ast.AST] = [*found.values] if isinstance(found, ast.Dict) else [found]
    for part in parts:
        for node in ast.walk(part):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value):
                yield node.value


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
