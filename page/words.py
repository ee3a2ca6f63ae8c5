"""What the page says, in the language of whoever looks: gettext's catalogues, read once from their .po files."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Any

import polib

SOURCE = "en"  # the language that the messages are written in
FOLDER = Path(__file__).parent / "translations"
# The languages by their codes, each under its own name.
LANGUAGES = {SOURCE: "English", "zh": "简体中文"}


def message(text: str) -> str:
    """A message of a table: it is translated where it is shown, and found here by the test of the catalogue."""
    return text


@dataclass(frozen=True, slots=True)
class Words:
    """Translates messages and fills their `{names}` in."""

    language: str = SOURCE
    catalogue: NullTranslations = field(default_factory=NullTranslations)

    def __call__(self, text: str, **values: Any) -> str:
        """The message in this language."""
        return self.catalogue.gettext(text).format(**values)

    def plural(self, one: str, many: str, n: int, **values: Any) -> str:
        """The message for `n` things; its text may name `{n}`."""
        return self.catalogue.ngettext(one, many, n).format(n=n, **values)


@cache
def words(language: str) -> Words:
    """The page's words in that language; in the source's for one that is not there."""
    if language == SOURCE or language not in LANGUAGES:
        return Words()
    compiled = polib.pofile(str(FOLDER / f"{language}.po")).to_binary()
    return Words(language, GNUTranslations(BytesIO(compiled)))


def preferred(accepted: str) -> str:
    """The first of a browser's `Accept-Language` that is there."""
    for part in accepted.split(","):
        code = part.partition(";")[0].partition("-")[0].strip().lower()
        if code in LANGUAGES:
            return code
    return SOURCE
