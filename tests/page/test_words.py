"""What the page says: filled in, in the plural, and every message in every language."""

from __future__ import annotations

import re

import polib
import pytest

from page.words import FOLDER, LANGUAGES, SOURCE, Words, message, preferred, words
from tests.page.messages import messages

TRANSLATED = [code for code in LANGUAGES if code != SOURCE]


def test_the_source_s_messages_are_their_own_translation() -> None:
    t = Words()
    assert t("in {age}", age="3 s") == "in 3 s"
    assert [t.plural("{n} hop", "{n} hops", n) for n in (1, 2)] == ["1 hop", "2 hops"]
    assert message("state") == "state"


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalogue_translates_and_counts(code: str) -> None:
    t = words(code)
    assert t.language == code
    assert "3 s" in t("in {age}", age="3 s") != "in 3 s"
    assert "7" in t.plural("{n} hop", "{n} hops", 7) != "7 hops"


def test_a_language_that_is_not_there_is_the_source_s() -> None:
    assert words("tlh").language == SOURCE


@pytest.mark.parametrize(
    ("accepted", "code"), [("zh-CN,zh;q=0.9", "zh"), ("fr, en;q=0.5", "en"), ("", "en"), ("de", "en")]
)
def test_the_browser_s_first_language_that_is_there_is_taken(accepted: str, code: str) -> None:
    assert preferred(accepted) == code


@pytest.mark.parametrize("code", TRANSLATED)
def test_every_message_is_translated_with_its_names_and_no_other_is_there(code: str) -> None:
    catalogue = {(entry.msgid, entry.msgid_plural or None): entry for entry in polib.pofile(str(FOLDER / f"{code}.po"))}
    assert len(messages()) > 100
    assert set(catalogue) == messages()
    for (one, _), entry in catalogue.items():
        for text in entry.msgstr_plural.values() if entry.msgid_plural else [entry.msgstr]:
            assert text, one
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", one)), one


def test_every_catalogue_is_of_a_language_that_can_be_chosen() -> None:
    assert {path.stem for path in FOLDER.glob("*.po")} == set(TRANSLATED)
