"""The sealed bundles that wait to be fetched: a file each, named by the token's id and the second when it ends."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from linkweather import atomicfile

_NAME: Final = re.compile(r"([0-9a-f]{24})\.(\d{1,12})\.([a-z0-9-]{1,32})")


class Enrolments:
    """A folder of sealed bundles. Every method raises OSError where the folder cannot be used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, token_id: str, site: str, sealed: bytes, *, until_s: float) -> Path:
        """Keep a bundle for a token until a time (Unix seconds); earlier ones of the site end."""
        self.forget(site)
        path = self._folder / f"{token_id}.{int(until_s)}.{site}"
        atomicfile.replace(path, sealed, mode=0o640)
        return path

    def take(self, token_id: str, now_s: float) -> tuple[Path, bytes] | None:
        """The file and the bundle of a token that has not ended; whoever has sent it removes the file."""
        for path, found, until_s, _ in self._waiting():
            if until_s < now_s:
                path.unlink(missing_ok=True)
            elif found == token_id:
                with contextlib.suppress(FileNotFoundError):
                    return path, path.read_bytes()
        return None

    def forget(self, site: str) -> None:
        """End every token of a site."""
        for path, _, _, its in self._waiting():
            if its == site:
                path.unlink(missing_ok=True)

    def sites(self, now_s: float) -> dict[str, float]:
        """The sites whose token waits, with the seconds that are left."""
        return {site: until_s - now_s for _, _, until_s, site in self._waiting() if until_s >= now_s}

    def _waiting(self) -> Iterator[tuple[Path, str, int, str]]:
        for path in sorted(self._folder.iterdir()):
            name = _NAME.fullmatch(path.name)
            if name:
                yield path, name[1], int(name[2]), name[3]
