"""What the page says, in the language of whoever looks: gettext's catalogue behind one call. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from gettext import NullTranslations
from typing import Any

SOURCE = "en"  # the language that the messages are written in


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
