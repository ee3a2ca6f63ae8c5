"""A link, a site and a pair's route as lines of a label and a figure: beside the grid and on their own views. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from linkweather.models.link_history import SlaFigures
from linkweather.models.routes import RouteSummary
from linkweather.models.state import Degradation, DegradedKind, LinkAnswer, SiteAnswer
from linkweather.units import MISSING, age, digits, duration, milliseconds, percent, rate, size
from page.link_metrics import LINK_FORMS, known, stretch
from page.mesh_picture import MeshPicture
from page.reason_words import because, reason
from page.words import Words, message


class FigureLine(NamedTuple):
    """A label, its figure, and what more is said of it."""

    label: str
    value: str
    more: str = ""


_CLOCK_ERROR_S = 0.05

DEGRADED: Mapping[DegradedKind, tuple[str, Callable[[float | None], str]]] = {
    "loss": (message("loss"), lambda value: f"{percent(value)} %"),
    "latency": (message("RTT"), duration),
    "jitter": (message("jitter"), duration),
    "goodput": (message("goodput"), rate),
}


def brief(view: MeshPicture, src: str, dst: str, words: Words) -> list[FigureLine]:
    """A link in a few lines; none where the mesh has no such link."""
    link = view.links.get((src, dst))
    return [] if link is None else [*_brief(view, link, words)]


def _brief(view: MeshPicture, link: LinkAnswer, words: Words) -> Iterator[FigureLine]:
    yield state_line(link, words)
    yield FigureLine(words("RTT"), duration(link.rtt_p50_s), _aged(link.rtt_age_s, words))
    yield FigureLine(words("loss"), _percent(link.loss_ratio), _directions(link, words))
    yield FigureLine(words("jitter"), duration(link.jitter_s))
    yield goodput_line(link, words)
    yield from _routed(view, link.src, link.dst, words)


def full(view: MeshPicture, link: LinkAnswer, words: Words) -> list[FigureLine]:
    """All that is known of a link now."""
    factor = stretch(link, view.sites)
    lines = [
        *_brief(view, link, words),
        FigureLine(words("one-way delay"), duration(link.owd_p50_s), _within(link.owd_error_s)),
        FigureLine(words("RTT under load"), duration(link.rtt_loaded_s), words("while our own test ran")),
        FigureLine(words("stretch"), MISSING if factor is None else f"{digits(factor)} ×", words("of light in fibre")),
        FigureLine(words("path"), _hops(link, words), _aged(link.path_age_s, words)),
        FigureLine(words("path MTU"), size(link.path_mtu_bytes)),
        next_test(link, words),
        FigureLine(words("method"), link.method or MISSING, link.address or ""),
    ]
    if link.goodput_failure:
        more = (link.goodput_failure_detail, _aged(link.goodput_failure_age_s, words))
        lines.append(FigureLine(words("last throughput test"), reason(link.goodput_failure, words), _joined(more)))
    if link.failure:
        said = (link.failure_kind, link.failure_detail, _aged(link.failure_age_s, words))
        lines.append(FigureLine(words("last failure"), reason(link.failure, words), _joined(said)))
    return [line for line in lines if line.value != MISSING]


def state_line(link: LinkAnswer, words: Words) -> FigureLine:
    """The state, since when and why."""
    parts = [_degraded(one, words) for one in link.degraded_by or ()] or [because(link.reason or "", words)]
    if link.since is not None and link.state != "fresh":
        parts.append(words("since {since} UTC", since=f"{link.since:%H:%M:%S}"))
    elif link.state == "down" and link.outage_s is not None:
        parts.append(words("for {age}", age=age(link.outage_s)))
    return FigureLine(
        words("state"), words(LINK_FORMS[known(link.state)].name), "; ".join(part for part in parts if part)
    )


def _degraded(by: Degradation, words: Words) -> str:
    label, show = DEGRADED[by.kind]
    said = f"{words(label)} {show(by.value)}"
    if by.limit is not None:
        return said + words(" (limit {limit})", limit=show(by.limit))
    return said if by.normal is None else said + words(" (normally {normal})", normal=show(by.normal))


def goodput_line(link: LinkAnswer, words: Words) -> FigureLine:
    """The goodput with its confidence interval and age."""
    interval = ""
    if link.goodput_low_bps is not None and link.goodput_high_bps is not None:
        interval = f"{rate(link.goodput_low_bps)} – {rate(link.goodput_high_bps)}"
    parts = [part for part in (interval, _aged(link.goodput_age_s, words)) if part]
    return FigureLine(words("goodput"), rate(link.goodput_bps), ", ".join(parts))


def next_test(link: LinkAnswer, words: Words) -> FigureLine:
    """When the throughput is tested next, why, and what it waits for.

    A scheduled test says how often its link is worth one, where decisions say so.
    """
    rounds, scheduled = link.next_test_rounds, link.next_test_reason == "scheduled"
    why = reason(link.next_test_reason or "", words)
    if scheduled and rounds is not None:
        why = words("every {rounds} rounds, by what decisions gain", rounds=f"{rounds:.2g}")
    more = _joined((why, reason(link.next_test_waits_for or "", words)))
    value = MISSING if link.next_test_in_s is None else words("in {age}", age=age(link.next_test_in_s))
    return FigureLine(words("next throughput test"), value if value != MISSING or not more else words("none"), more)


def next_test_cell(link: LinkAnswer, words: Words) -> str:
    """The same in one cell of a table."""
    line = next_test(link, words)
    return _joined((line.value, line.more))


def sla_line(sla: SlaFigures, words: Words) -> FigureLine:
    """How available a link was over the last month, and of how much of it anything is known."""
    known_of = words("of the last 30 days; {share} % of them are measured", share=_share(sla.measured_ratio))
    return FigureLine(words("available"), f"{_share(sla.available_ratio)} %", known_of)


def _share(ratio: float | None) -> str:
    """A share in %, three digits past the point, never rounded to all."""
    return MISSING if ratio is None else f"{math.floor(1e5 * ratio) / 1e3:.3f}"


def site_lines(site: SiteAnswer, words: Words) -> list[FigureLine]:
    """All that a site says of itself."""
    budget = MISSING
    if site.budget_bytes_per_day is not None:
        budget = words("{left} of {day} a day", left=size(site.budget_left_bytes), day=size(site.budget_bytes_per_day))
    lines = [
        FigureLine(
            words("state"),
            words(SITE_STATES[site.state]),
            because(site.reason, words) if site.reason else _aged(site.report_age_s, words),
        ),
        FigureLine(words("address"), site.address),
        FigureLine(words("operator"), site.operator or MISSING),
        FigureLine(words("region"), site.region or MISSING),
        FigureLine(words("computing-power identifier"), site.compute_id or MISSING),
        FigureLine(words("version"), site.version or MISSING, ", ".join(site.capabilities)),
        FigureLine(words("clock"), _clock(site.clock_offset_s, words), site.clock or ""),
        FigureLine(words("reports waiting"), _count(site.outbox_reports), words("in the site's outbox")),
        FigureLine(words("reports lost"), _count(site.dropped_reports), words("as the outbox was full")),
        FigureLine(words("budget left"), budget, words("for throughput tests")),
        FigureLine(words("throughput tests"), _tests(site, words), words("of its incoming links, since its start")),
        FigureLine(words("no throughput tests"), site.throughput_problem or MISSING),
    ]
    return [line for line in lines if line.value != MISSING]


SITE_STATES = {"online": message("online"), "offline": message("offline"), "unknown": message("never reported")}


def _routed(view: MeshPicture, src: str, dst: str, words: Words) -> Iterator[FigureLine]:
    route = view.route("latency", src, dst)
    if route and route.relays:
        yield FigureLine(words("traffic"), words("through {relays}", relays=", ".join(route.relays)), gain(route))


def gain(route: RouteSummary) -> str:
    """The figure of a route in its objective, and that of direct."""
    if route.path.goodput_p50_bps is not None and route.path.rtt_p50_s is None:
        return f"{rate(route.path.goodput_p50_bps)}"
    return f"{milliseconds(route.path.rtt_p50_s)} ms"


def _aged(seconds: float | None, words: Words) -> str:
    return "" if seconds is None else words("{age} ago", age=age(seconds))


def _percent(ratio: float | None) -> str:
    return MISSING if ratio is None else f"{percent(ratio)} %"


def _directions(link: LinkAnswer, words: Words) -> str:
    if link.loss_forward_ratio is None or link.loss_back_ratio is None:
        return ""
    return words(
        "{there} % there, {back} % back", there=percent(link.loss_forward_ratio), back=percent(link.loss_back_ratio)
    )


def _within(error_s: float | None) -> str:
    return "" if error_s is None else f"± {duration(error_s)}"


def _hops(link: LinkAnswer, words: Words) -> str:
    return MISSING if link.hops is None else words.plural("{n} hop", "{n} hops", link.hops)


def _joined(parts: tuple[str | None, ...]) -> str:
    return ", ".join(part for part in parts if part)


def _clock(ahead_s: float | None, words: Words) -> str:
    """Ahead of the collector's, or behind it, by more than a report's way to it can explain."""
    if ahead_s is None:
        return MISSING
    if abs(ahead_s) < _CLOCK_ERROR_S:
        return words("right")
    off = f"{abs(ahead_s):.1f}"
    return words("{off} s ahead", off=off) if ahead_s > 0 else words("{off} s behind", off=off)


def _count(number: int | None) -> str:
    return MISSING if number is None else str(number)


def _tests(site: SiteAnswer, words: Words) -> str:
    tests = site.throughput_tests
    if tests is None:
        return MISSING
    return ", ".join(f"{reason(name, words)}: {number}" for name, number in tests.items()) or "0"


_WIDTH, _HEIGHT, _MARGIN = 240, 36, 3


def sparkline(values: Sequence[float | None]) -> str:
    """A small curve as SVG; "" of fewer than two values. What is missing interrupts it."""
    measured = [value for value in values if value is not None]
    if len(measured) < 2:
        return ""
    low, high = min(measured), max(measured)
    across = (_WIDTH - 2 * _MARGIN) / (len(values) - 1)
    up = (_HEIGHT - 2 * _MARGIN) / ((high - low) or 1.0)
    moves, pen = [], "M"
    for number, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        moves.append(f"{pen}{_MARGIN + number * across:.1f} {_HEIGHT - _MARGIN - (value - low) * up:.1f}")
        pen = "L"
    return (
        f'<svg class="curve" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true">'
        f'<path d="{"".join(moves)}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )
