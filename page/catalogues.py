"""The translations, read once from their .po files, which need no compiling."""

from __future__ import annotations

from functools import cache
from gettext import GNUTranslations
from io import BytesIO
from pathlib import Path

import polib

from page.words import SOURCE, Words

FOLDER = Path(__file__).parent / "translations"
# The languages by their codes, each under its own name.
LANGUAGES = {SOURCE: "English", "zh": "简体中文"}


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
