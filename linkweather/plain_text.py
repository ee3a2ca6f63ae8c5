"""Text from others before people read it: without control characters, and without the password of a URL. Pure.

A room of its own because terminals, logs, settings and messages clean by the same two rules.
"""

from __future__ import annotations

import re

# Characters that move the cursor, end a line or reverse what follows: C0, DEL, C1, line separators, bidi overrides.
CONTROL_CHARACTERS = r"\x00-\x1f\x7f-\x9f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069"

_UNPRINTABLE = re.compile(f"[{CONTROL_CHARACTERS}\ud800-\udfff]")
_BETWEEN_LINES = re.compile(r"([\n\t])")
# Up to the last @ of the word: a password that is not percent-encoded may hold any of / : @.
_PASSWORD = re.compile(r"(://[^\s/:@'\"\[]*:)[^\s'\"]*@")  # [user[:password]@] is how we write about it


def one_line(text: str) -> str:
    """The text with each control character a space, those that no terminal can be sent as well."""
    return _UNPRINTABLE.sub(" ", text)


def cleaned(text: str) -> str:
    """The text with its lines and tabs, and each other control character a space."""
    return "".join(part if part in {"\n", "\t"} else one_line(part) for part in _BETWEEN_LINES.split(text))


def redacted(text: str) -> str:
    """The text with *** for the password of each URL in it."""
    return _PASSWORD.sub(r"\1***@", text)
