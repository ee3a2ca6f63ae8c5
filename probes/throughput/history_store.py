"""What the throughput tests of a site's links have found, in a JSON file, so that a restart tests none of them again.

A room of its own, because attention, which needs it, is pure.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from linkweather import atomicfile
from probes.throughput.attention import LinkHistory

log = logging.getLogger(__name__)

_HISTORIES = TypeAdapter(dict[str, LinkHistory])


class HistoryStore:
    """The histories of a site's incoming links, by their source. Where the file cannot be used, they are not kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failing = False
        self._readable = True

    def load(self) -> dict[str, LinkHistory]:
        """The histories of the last run; none where there was none. A damaged file is set aside.

        What cannot be read now is not overwritten in this run: the next one may be able to.
        """
        try:
            return _HISTORIES.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            with contextlib.suppress(OSError):
                aside = atomicfile.set_aside(self._path)
                log.error(
                    "what earlier throughput tests found, in %s, is damaged (%s): it is set aside as %s",
                    *(self._path, error.errors(include_url=False, include_input=False)[0]["msg"], aside.name),
                )
        except OSError as error:
            self._readable = False
            log.warning("what earlier throughput tests found cannot be read from %s: %s", self._path, error)
        return {}

    def keep(self, histories: Mapping[str, LinkHistory]) -> None:
        """Keep these in place of what was kept; a failure is logged once. Blocks; any thread may call."""
        if not self._readable:
            return
        try:
            atomicfile.replace(self._path, _HISTORIES.dump_json(dict(histories)))
        except OSError as error:
            if not self._failing:
                log.warning("what throughput tests found cannot be kept in %s: %s", self._path, error)
            self._failing = True
        else:
            self._failing = False
