"""Pages of long answers: `limit` and `cursor` of a question, and the address of the next page as a header `Link`.

A page is encoded once for all who ask for it within a second, as the whole answer is; few pages are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Query
from starlette.responses import Response

from collector.api.api_requests import ApiError
from collector.api.cached_answers import CachedAnswer
from collector.linkstate.link_index import Pair

LIMIT_MAX: Final = 1000  # some 1 MB of links; each caller may hold one
PAGES_KEPT: Final = 16
_SITE: Final = "[a-z0-9][a-z0-9-]{0,31}"
Limit = Annotated[
    int | None, Query(ge=1, le=LIMIT_MAX, description="At most so many, in the order of the sites' names")
]
Cursor = Annotated[
    str | None,
    Query(pattern=rf"^{_SITE}\.{_SITE}$", description="Where the page begins: from the header Link of the one before"),
]
PAGED: Final[Mapping[int | str, dict[str, Any]]] = {
    200: {
        "headers": {
            "Link": {
                "description": 'With `limit`, where more follows: `<?…>; rel="next"`, relative to this address',
                "schema": {"type": "string"},
            }
        }
    }
}
Capture = Callable[[int, Pair | None], tuple[Iterable[bytes], Pair | None]]


@dataclass(frozen=True, slots=True)
class PageQuestion:
    """Which page: `given` are the other parameters of the question."""

    limit: int
    after: Pair | None
    given: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, limit: int | None, cursor: str | None, **given: str) -> PageQuestion | None:
        """The question; None where the whole answer is asked for. Raises ApiError."""
        if limit is None:
            if cursor is not None:
                raise ApiError(422, "cursor: needs limit, too", "cursor")
            return None
        src, _, dst = (cursor or "").partition(".")
        return cls(limit, (src, dst) if cursor else None, tuple(given.items()))

    def next(self, last: Pair | None) -> dict[str, str]:
        """The header that names the next page, where there is one."""
        if last is None:
            return {}
        query = urlencode([*self.given, ("limit", self.limit), ("cursor", ".".join(last))])
        return {"Link": f'<?{query}>; rel="next"'}


class PagedAnswer:
    """The pages that were asked for last. Each is captured on the event loop, and encoded in a thread."""

    def __init__(self) -> None:
        self._pages: dict[PageQuestion, CachedAnswer] = {}

    async def response(
        self, asked: PageQuestion, capture: Capture, if_none_match: str | None, of: Callable[[], object] = object
    ) -> Response:
        """A page, at most a second old, or as old as what it is `of`; 304 where the asker has it already."""
        last: Pair | None = None

        def captured() -> Iterable[bytes]:
            nonlocal last
            pieces, last = capture(asked.limit, asked.after)
            return pieces

        page = self._pages.pop(asked, None) or CachedAnswer(captured, of=of, headers=lambda: asked.next(last))
        self._pages[asked] = page  # the last one
        while len(self._pages) > PAGES_KEPT:
            del self._pages[next(iter(self._pages))]
        return await page.response(if_none_match)
