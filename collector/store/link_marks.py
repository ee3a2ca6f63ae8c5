"""The paths that a link took, and its throughput tests, from the rows of the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import TypeAdapter

from collector.store.columns import MEASURED_AT, naive
from collector.store.database import Database
from linkweather.models.link_history import LinkMarksAnswer, LinkTestMark, PathHop, TakenPath

PATHS_MAX: Final = 200
TESTS_MAX: Final = 1000
LEAD: Final = timedelta(hours=6)  # before the span, in which its first path is looked for
_HOPS: Final = TypeAdapter(tuple[PathHop, ...])

_WITHIN: Final = f"""src = $src AND dst = $dst AND received_at >= $since
                     AND {MEASURED_AT} >= $since AND {MEASURED_AT} < $until"""
_PATHS: Final = f"""
    SELECT count(*) OVER (), moment, fingerprint, reached, hops FROM (
        SELECT number, {MEASURED_AT} AS moment, fingerprint, reached, hops,
               lag(fingerprint) OVER (ORDER BY number) AS before
        FROM path WHERE {_WITHIN} AND fingerprint IS NOT NULL)
    WHERE before IS DISTINCT FROM fingerprint ORDER BY number DESC LIMIT {PATHS_MAX}"""  # noqa: S608 - names of our own
_TESTS: Final = f"""
    SELECT count(*) OVER (), {MEASURED_AT}, duration_s, goodput_bps, failure, detail, reason
    FROM throughput WHERE {_WITHIN} ORDER BY number DESC LIMIT {TESTS_MAX}"""  # noqa: S608 - names of our own


@dataclass(frozen=True, slots=True)
class LinkMarksReader:
    """Reads a journal's database. Any thread may call; every call blocks, and raises duckdb.Error."""

    database: Database

    def marks(self, src: str, dst: str, since: datetime, until: datetime) -> LinkMarksAnswer:
        """Those of one link in `[since, until)`."""
        named: Mapping[str, Any] = {"src": src, "dst": dst, "until": naive(until)}
        with self.database.snapshot() as query:
            paths = query(_PATHS, {**named, "since": naive(since - LEAD)})
            tests = query(_TESTS, {**named, "since": naive(since)})
        taken = [_path(*row[1:]) for row in reversed(paths)]
        last_before = sum(one.at < since for one in taken) - 1
        return LinkMarksAnswer(
            src=src,
            dst=dst,
            since=since,
            until=until,
            paths=tuple(taken[max(0, last_before) :]),
            tests=tuple(_test(*row[1:]) for row in reversed(tests)),
            omitted=sum(rows[0][0] - len(rows) for rows in (paths, tests) if rows),
        )


def _path(at: datetime, fingerprint: str, reached: bool | None, hops: str | None) -> TakenPath:  # noqa: FBT001 - a column
    found = _HOPS.validate_json(hops) if hops else ()
    return TakenPath(at=at.replace(tzinfo=UTC), fingerprint=fingerprint, reached=reached, hops=found)


def _test(at: datetime, *figures: Any) -> LinkTestMark:
    names = ("duration_s", "goodput_bps", "failure", "detail", "reason")
    return LinkTestMark(at=at.replace(tzinfo=UTC), **dict(zip(names, figures, strict=True)))
