"""The kinds of reports, their decoding, and the messages about them: receipts and the site's status.

An outbox also rewrites what it once encoded: splits it by rows to fit a broker's packets, gives it another number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from operator import attrgetter
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from linkweather.errors import MessageError
from linkweather.wire.capacity import CapacityReport
from linkweather.wire.fields import Bytes, Count, Moment, Name, ReportNumber, Text
from linkweather.wire.latency import LatencyReport
from linkweather.wire.messages import MAX_ROWS, LinkReport, Message, Row, SplitFrom, encode, refusal
from linkweather.wire.path import PathReport
from linkweather.wire.throughput import MAX_NEXT_TESTS, NextTest, ThroughputReport

AnyReport = LatencyReport | ThroughputReport | PathReport | CapacityReport

REPORTS: Mapping[str, type[AnyReport]] = {
    "latency": LatencyReport,
    "throughput": ThroughputReport,
    "path": PathReport,
    "capacity": CapacityReport,
}
_LINK: Callable[[Row], tuple[str, str, str]] = attrgetter("src", "dst", "method")
# The end of the link that publishes a row → the place of that end in a link, and of the other one.
_ENDS: Mapping[str, tuple[int, int]] = {"src": (0, 1), "dst": (1, 0)}


# Where a kind's rows stand in its report.
ROWS: Final[Mapping[str, str]] = {**dict.fromkeys(REPORTS, "links"), "capacity": "devices"}

MAX_BOOTS: Final = 64  # of an outbox in one status: the newest


class RefusedRow(NamedTuple):
    """One row that is not taken: its JSON, why in words, and in a word."""

    payload: bytes
    detail: str
    reason: str = "impossible"


class DecodedReport(NamedTuple):
    """A report with the rows that can be, and those that it came with and that cannot.

    `links` are source, destination and method of its rows, each once.
    """

    report: AnyReport
    refused: tuple[RefusedRow, ...] = ()
    links: AbstractSet[tuple[str, str, str]] = frozenset()


def decode_report(site: str, kind: str, payload: bytes) -> DecodedReport:
    """Decode a report that arrived on `site`'s topic for `kind`. A bad row costs that row, while others are good.

    Raises MessageError with reason `unknown_kind`, `malformed`, `impossible`, or `foreign` when a row is about a link
    that is not this site's own.
    """
    if kind not in REPORTS:
        raise MessageError("unknown_kind", kind[:64])
    try:
        decoded = DecodedReport(REPORTS[kind].model_validate_json(payload))
    except ValidationError as error:
        decoded = _without_bad_rows(kind, payload, error)
    if isinstance(decoded.report, LinkReport):
        return decoded._replace(links=_checked_links(site, decoded.report))
    return decoded


def _without_bad_rows(kind: str, payload: bytes, error: ValidationError) -> DecodedReport:
    """The report without the rows that `error` is about. Raises MessageError where it is not about rows alone."""
    if error.error_count() > MAX_ROWS:  # to list them all would take longer than they are worth
        raise MessageError("impossible", f"{error.error_count()} values cannot be")
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    details: dict[int, str] = {}
    for one in errors:
        match one["loc"]:
            case (str(name), int(place), *_) if name == ROWS[kind]:
                details.setdefault(place, _sentence(one))
            case _:
                raise refusal(error) from None
    values = from_json(payload)
    rows = values[ROWS[kind]]
    good = [row for place, row in enumerate(rows) if place not in details]
    if not good:
        raise refusal(error) from None
    try:
        report = REPORTS[kind].model_validate_json(to_json({**values, ROWS[kind]: good}))
    except ValidationError as other:
        raise refusal(other) from None
    return DecodedReport(report, tuple(RefusedRow(to_json(rows[place]), said) for place, said in details.items()))


def _sentence(error: ErrorDetails) -> str:
    where = ".".join(map(str, error["loc"]))
    return f"{where}: {error['msg']}"


def _checked_links(site: str, report: LinkReport) -> set[tuple[str, str, str]]:
    near, far = _ENDS[report.publisher]
    links = set(map(_LINK, report.links))
    ends = {link[near] for link in links} - {site}
    if ends:
        raise MessageError("foreign", f"{site} may not report links of {min(ends)}")
    if any(link[far] == site for link in links):
        raise MessageError("impossible", f"{site} → {site} is no link")
    return links


# The journal has another report under this one's number: the site gives it a new one.
CONFLICT: Final = "conflict"


class ReportRefusal(Message):
    """A report that the journal will never hold, and why; the site drops and counts it, unless it is a CONFLICT."""

    seq: ReportNumber
    reason: Name


class Committed(Message):
    """Collector to site: these reports of outbox `boot` are in the journal of this id, or refused for good."""

    v: Literal[1] = 1
    journal: Name | None = None
    boot: Name
    seqs: Annotated[tuple[ReportNumber, ...], Field(max_length=MAX_ROWS)] = ()
    refused: Annotated[tuple[ReportRefusal, ...], Field(max_length=MAX_ROWS)] = ()


class BootCount(Message):
    """What became of the numbers `first` to before `next` that one boot of an outbox gave.

    So many of these reports wait, were dropped for lack of room, were refused by the collector, were filed again under
    other numbers, or were lost to damage; all others are committed, as far as the site was told.
    """

    boot: Name
    first: ReportNumber = 0
    next: ReportNumber
    waiting: Count = 0
    dropped: Count = 0
    refused: Count = 0
    refiled: Count = 0
    damaged: Count = 0


class Status(Message):
    """A site's retained state; its will says offline. `dropped_datagrams` are those that its reflector did not answer.

    `journal` is the id of the one that it follows. `oversized_reports` wait, as the broker takes no packets of their
    size; `damaged_reports` were lost to damage of its outbox.

    `throughput_tests` counts the tests of its incoming links by the reason why each ran. `budget_left_bytes` is what
    its tests may move now of the `budget_bytes_per_day`, which accrues evenly; both are absent without a budget.
    `boots` says what became of the reports of the outbox's newest boots.
    `next_tests` are those of its incoming links, the soonest first; `throughput_problem` is why it tests no throughput.

    `overflows` counts, by queue, what was dropped since its start as too much waited; what was dropped of `receipts`
    and `mqtt messages` is said again. `unpublished` counts, by reason, what its broker would not take. `damaged_files`
    are those that it has set aside, by the name of the file, until they are deleted.
    """

    v: Literal[1] = 1
    state: Literal["online", "offline"]
    at: Moment | None = None
    version: Text | None = None
    capabilities: Annotated[tuple[Name, ...], Field(max_length=64)] = ()
    journal: Name | None = None
    outbox_reports: Count = 0
    dropped_reports: Count = 0
    refused_reports: Count = 0
    oversized_reports: Count = 0
    damaged_reports: Count = 0
    boots: Annotated[tuple[BootCount, ...], Field(max_length=MAX_BOOTS)] = ()
    dropped_datagrams: Count = 0
    throughput_tests: Annotated[dict[Name, Count], Field(max_length=64)] = Field(default_factory=dict)
    budget_bytes_per_day: Bytes | None = None
    budget_left_bytes: Bytes | None = None
    next_tests: Annotated[tuple[NextTest, ...], Field(max_length=MAX_NEXT_TESTS)] = ()
    throughput_problem: Text | None = None
    overflows: Annotated[dict[Name, Count], Field(max_length=64)] = Field(default_factory=dict)
    unpublished: Annotated[dict[Name, Count], Field(max_length=64)] = Field(default_factory=dict)
    damaged_files: Annotated[dict[Name, Count], Field(max_length=64)] = Field(default_factory=dict)
    failed_authentication: Annotated[dict[Name, Count], Field(max_length=64)] = Field(default_factory=dict)

    def fitting(self, max_bytes: int | None) -> Status:
        """The status as it fits into a payload of this size: without its later next tests, then its older boots."""
        fitted = self
        while max_bytes is not None and (fitted.next_tests or fitted.boots) and len(encode(fitted)) > max_bytes:
            tests, boots = fitted.next_tests, fitted.boots
            fewer = {"next_tests": tests[: len(tests) // 2]} if tests else {"boots": boots[(len(boots) + 1) // 2 :]}
            fitted = fitted.model_copy(update=fewer)
        return fitted


class Presence(Message):
    """What a site's probe says of itself: `here`, retained and once to its peers, and `leaving` before it stops.

    `instance` is the run of the program, `started` when that began, on `host`; `key_id` names the key of its tests.
    """

    v: Literal[1] = 1
    state: Literal["here", "leaving"]
    instance: Name
    started: Moment
    host: Text
    key_id: Name | None = None


# A seq of as many digits as there can be: a part may get any number.
_LONGEST_SEQ: Final = 2**53


def split(kind: str, payload: bytes, max_bytes: int) -> list[bytes]:
    """The report as reports of at most `max_bytes` each, all with its number still; a row is never divided.

    A report that fits, or is none, is alone; with `max_bytes` 0 every row is.
    """
    if len(payload) <= max_bytes:
        return [payload]
    try:
        values = from_json(payload)
        rows = list(values[ROWS[kind]])
    except (ValueError, KeyError, TypeError):
        return [payload]
    room = max_bytes + 1 - len(to_json({**values, "seq": _LONGEST_SEQ, ROWS[kind]: []}))  # the last row has no comma
    parts: list[list[object]] = []
    used = room
    for row in rows:
        size = len(to_json(row)) + 1
        if used + size > room or not parts:
            parts.append([])
            used = 0
        parts[-1].append(row)
        used += size
    return [to_json({**values, ROWS[kind]: part}) for part in parts] or [payload]


def renumbered(payload: bytes, boot: str, seq: int, split_from: SplitFrom | None = None) -> bytes:
    """The report under another boot and number. Raises ValueError for what is no report."""
    values = {**from_json(payload), "boot": boot, "seq": seq}
    return to_json(values if split_from is None else {**values, "split_from": split_from.model_dump()})
