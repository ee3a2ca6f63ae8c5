"""The summary of an ad hoc test: plain text, at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

from linkweather.units import duration, rate, size
from linkweather.wire import LatencyRow
from probes.adhoc.findings import Findings, LatencyFindings, MeasuredHost, ThroughputFindings
from probes.adhoc.method_choice import choice
from probes.adhoc.plots import distribution, over_time

WIDTH = 78
_INDENT = "  "
_LABEL_WIDTH = 9

Facts = Iterable[tuple[str, str]]


def text(findings: Findings) -> str:
    """The whole summary, without a newline at its end."""
    parts = []
    if findings.latency:
        parts.append(_latency(findings.target, findings.latency))
    if findings.throughput:
        parts.append(_throughput(findings.target, findings.throughput))
    if findings.opposite:
        parts.append(_throughput(findings.target, findings.opposite))
    if findings.interrupted:
        parts.append(["Interrupted: this is what was measured until then."])
    return "\n\n".join("\n".join(part) for part in parts)


def loss(row: LatencyRow) -> str:
    """`2 of 50 (4 %): 0 forward, 2 back`, as far as the direction is known."""
    lost = row.sent - row.received
    known = share(lost, row.sent)
    if lost == 0:
        return known
    if row.lost_forward is None or row.lost_back is None:
        return f"{known}; the direction is not known"
    return f"{known}: {row.lost_forward} forward, {row.lost_back} back"


def share(lost: int, sent: int) -> str:
    """`2 of 50 (4 %)`, and `0 of 50` as it is."""
    return f"{lost} of {sent} ({100 * lost / sent:.3g} %)" if lost else f"0 of {sent}"


def _nothing(latency: LatencyFindings) -> str:
    if latency.row.figures:
        return "failed"
    return "no reply that is a result" if any(each.instead for each in latency.attempts) else "no reply at all"


def _latency(target: MeasuredHost, latency: LatencyFindings) -> list[str]:
    if latency.failed:
        tried = [f"{each.wording.title}: {each.outcome}" for each in latency.attempts]
        labels = ["tried", *[""] * (len(tried) - 1)]
        facts = [*zip(labels, tried, strict=True), *_figures(latency.row)]
        return [f"Latency to {target}: {_nothing(latency)}", *_facts(facts)]
    replies_s = [rtt_s for rtt_s in latency.rtts_s if rtt_s is not None]
    plot = distribution(replies_s, WIDTH - len(_INDENT))
    return [
        f"Latency to {target}",
        *_facts([("method", choice(latency.attempts[-1], latency.attempts[:-1])), *_latency_facts(latency.row)]),
        "",
        *(_INDENT + line for line in plot),
    ]


def _latency_facts(row: LatencyRow) -> Facts:
    quantiles = (
        ("min", row.rtt_min_s),
        ("p50", row.rtt_p50_s),
        ("p95", row.rtt_p95_s),
        ("p99", row.rtt_p99_s),
        ("max", row.rtt_max_s),
    )
    yield "RTT", "   ".join(f"{name} {duration(value)}" for name, value in quantiles)
    yield (
        "",
        f"mean {duration(row.rtt_mean_s)}, standard deviation {duration(row.rtt_stdev_s)}, {row.timestamp} timestamps",
    )
    yield "jitter", f"{duration(row.jitter_p95_p50_s)} (p95 − p50), {duration(row.jitter_rfc3550_s)} (RFC 3550)"
    yield "loss", loss(row)
    late = f"{row.late or 0} late{f' (by up to {duration(row.late_max_s)})' if row.late else ''}"
    yield "", f"{late}, {row.reordered or 0} reordered, {row.duplicated or 0} duplicated"
    for outage in row.outages or ():
        lasted = duration((outage.end - outage.start).total_seconds()) if outage.end else "to the end"
        yield "outage", f"from {outage.start:%H:%M:%S} UTC, {lasted}: {outage.lost} probes in a row without a reply"
    if row.owd_forward_p50_s is not None:
        one_way = f"forward {duration(row.owd_forward_p50_s)}, back {duration(row.owd_back_p50_s)}"
        yield "one way", f"{one_way} (p50; clocks within {duration(row.owd_error_s)})"
    if row.detail:
        yield "note", row.detail
    yield from _figures(row)


def _figures(row: LatencyRow) -> Facts:
    """A prober's own figures: a name that ends in `_s` is a time."""
    if row.figures:
        yield "figures", ", ".join(_figure(name, value) for name, value in row.figures.items())


def _figure(name: str, value: float) -> str:
    shown = duration(value) if name.endswith("_s") else f"{value:g}"
    return f"{name.removesuffix('_s').replace('_', ' ')} {shown}"


def _throughput(target: MeasuredHost, throughput: ThroughputFindings) -> list[str]:
    row = throughput.row
    way = f"from {target} to here" if throughput.reverse else f"from here to {target}"
    if row.goodput_bps is None:
        return [f"Goodput {way}: not measured", *_facts([("reason", row.detail or row.failure or "unknown")])]
    plot = over_time(throughput.intervals_bps, throughput.interval_s, WIDTH - len(_INDENT))
    return [f"Goodput {way}", *_facts(_throughput_facts(throughput)), "", *(_INDENT + line for line in plot)]


def _throughput_facts(throughput: ThroughputFindings) -> Facts:
    row, udp_rate_bps = throughput.row, throughput.udp_rate_bps
    how = "at TCP port" if udp_rate_bps is None else f"sends {rate(udp_rate_bps)} of UDP, at port"
    yield "method", f"iperf3 {how} {throughput.port}"
    spread = ""
    if row.goodput_low_bps is not None and row.goodput_high_bps is not None:
        spread = f" (between {rate(row.goodput_low_bps)} and {rate(row.goodput_high_bps)}, 95 %)"
    yield "goodput", f"{rate(row.goodput_bps)}{spread}"
    streams = "" if row.streams is None else f", {row.streams} stream{'s' * (row.streams != 1)}"
    congestion = f", {row.congestion}" if row.congestion else ""
    yield "moved", f"{size(row.bytes)} in {duration(row.duration_s)}{streams}{congestion}"
    if throughput.datagrams:
        yield "loss", share(throughput.datagrams.lost, throughput.datagrams.sent)
        yield "jitter", f"{duration(throughput.datagrams.jitter_s)} (RFC 3550)"
    if row.retransmits is not None:
        yield "resent", f"{row.retransmits} segments"
    if row.rtt_loaded_s is not None:
        yield "RTT", f"{duration(row.rtt_loaded_s)} under this load"


def _facts(facts: Facts) -> list[str]:
    return [line for label, value in facts for line in _fact(label, value)]


def _fact(label: str, value: str) -> list[str]:
    hanging = " " * (len(_INDENT) + _LABEL_WIDTH)
    return wrap(
        value,
        WIDTH,
        initial_indent=f"{_INDENT}{label:<{_LABEL_WIDTH}}",
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
