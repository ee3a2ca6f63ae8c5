"""The documents that people read, taken apart: their links, anchors, tables and code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
DOCUMENTS = tuple(sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md"))))

_FENCE = re.compile(r"^( *)```(\w*) ?([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, the words after it, and where it begins."""

    path: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def read(path: Path | str) -> str:
    """The text of a document, by its path in the checkout."""
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(language: str = "", word: str = "") -> list[Block]:
    """The fenced blocks of all documents: of one language, or all; marked with a word, or any."""
    found = (block for path in DOCUMENTS for block in _blocks(path))
    return [each for each in found if each.language == (language or each.language) and (not word or word in each.words)]


def _blocks(path: Path) -> Iterator[Block]:
    text = read(path)
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(path, line, match[2], tuple(match[3].split()), dedent(match[4]))


def prose(path: Path) -> str:
    """A document without its fenced blocks."""
    return _FENCE.sub("", read(path))


def links(path: Path) -> list[str]:
    """The targets of a document's links."""
    return _LINK.findall(prose(path))


def code(path: Path) -> list[str]:
    """What stands in backticks in a document's prose."""
    return _CODE.findall(prose(path))


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(path)):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = next(n for n in range(99) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def rows(text: str) -> list[list[str]]:
    """The rows of all tables in a text, heads and all, each as its cells."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not set(line) <= set("|-: ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
