"""Every message of the page's sources: what is given to `words` (as `t` or `words`), and what `message` marks."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.documents import ROOT

_CALLED = {"t", "words", "message", "_words"}


def messages() -> set[tuple[str, str | None]]:
    """Each message, and its plural where it has one."""
    return {found for path in sorted((ROOT / "page").glob("*.py")) for found in _messages(path.read_text("utf-8"))}


def _messages(source: str) -> Iterator[tuple[str, str | None]]:
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = _name(call.func)
        texts = [part.value for part in call.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        if name == "plural" and len(texts) >= 2:
            yield texts[0], texts[1]
        elif name in _CALLED and texts:
            yield texts[0], None


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
