"""The collector's own metrics and those of its sites, with Prometheus names and types. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collector.sinks.exporter import TROUBLES
from linkweather.models.incidents import Severity
from linkweather.models.ledger import SinkAnswer
from linkweather.models.state import LinkCondition, SiteAnswer, SiteCondition

LINK_STATES: tuple[str, ...] = get_args(LinkCondition)
SITE_STATES: tuple[str, ...] = get_args(SiteCondition)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Everything at one moment."""

    links: Mapping[LinkCondition, int]
    sites: Sequence[SiteAnswer]
    broker_connected: bool
    reports: int
    rows: int
    duplicates: int
    overflowed: int
    refused: Mapping[str, int]
    waiting_bytes: int
    last_commit_s: float
    refused_rows: int = 0
    dropped_decisions: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    overflows: Mapping[str, int] = field(default_factory=dict)
    listeners: Mapping[str, int] = field(default_factory=dict)
    unpublished: Mapping[str, int] = field(default_factory=dict)
    journal_damage: Mapping[str, int] = field(default_factory=dict)
    journal_lost: Mapping[str, int] = field(default_factory=dict)
    sinks: Sequence[SinkAnswer] = ()
    links_without_series: int = 0
    incidents: Mapping[Severity, int] = field(default_factory=dict)


class _Own(Collector):
    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def collect(self) -> Iterable[Metric]:
        yield from _counters(self._readings)
        yield from _gauges(self._readings)
        yield from _of_sites(self._readings.sites)
        yield from _sinks(self._readings.sinks)


def registry(readings: Readings) -> CollectorRegistry:
    """A registry of these readings alone; the process's default registry is not used."""
    found = CollectorRegistry()
    found.register(_Own(readings))
    return found


def _counters(readings: Readings) -> Iterable[Metric]:
    for name, text, value in (
        ("reports", "Reports committed.", readings.reports),
        ("rows", "Link rows committed.", readings.rows),
        ("duplicates", "Reports that were in the journal already.", readings.duplicates),
        ("overflowed", "Messages dropped because too many waited; their sites send them again.", readings.overflowed),
        ("refused_rows", "Rows that cannot be, of reports that were committed without them.", readings.refused_rows),
    ):
        yield CounterMetricFamily(f"linkweather_ingest_{name}", text, value)
    text = "Decisions that the log never had, as its disk failed for long."
    yield CounterMetricFamily("linkweather_decisions_dropped", text, readings.dropped_decisions)
    for name, text, label, counts in (
        ("ingest_refused", "Messages refused for good.", "reason", readings.refused),
        ("faults", "Unexpected exceptions, contained; the log has the first of each.", "place", readings.faults),
        ("overflows", "What was dropped as too much waited.", "queue", readings.overflows),
        ("journal_damage", "Damage of the journal that starts found, ever.", "reason", readings.journal_damage),
        ("journal_lost_reports", "Reports that the journal acknowledged and lost.", "reason", readings.journal_lost),
        (
            "unpublished",
            "What the broker would not take; the log has the first of each.",
            "reason",
            readings.unpublished,
        ),
    ):
        family = CounterMetricFamily(f"linkweather_{name}", text, labels=[label])
        for reason, count in counts.items():
            family.add_metric([reason], count)
        yield family


def _gauges(readings: Readings) -> Iterable[Metric]:
    yield _gauge("ingest_waiting_bytes", "Bytes of messages that wait for the next commit.", readings.waiting_bytes)
    yield _gauge("ingest_commit_seconds", "Duration of the latest commit.", readings.last_commit_s)
    yield _gauge("broker_connected", "Whether the broker is connected.", float(readings.broker_connected))
    text = "Links that have no series of their own, as the settings say."
    yield _gauge("links_without_series", text, readings.links_without_series)
    family = GaugeMetricFamily("linkweather_incidents", "Incidents that last, by severity.", labels=["severity"])
    for severity in get_args(Severity):
        family.add_metric([severity], readings.incidents.get(severity, 0))
    yield family
    listeners = GaugeMetricFamily("linkweather_listeners", "Programs that follow a stream now.", labels=["stream"])
    for stream, count in readings.listeners.items():
        listeners.add_metric([stream], count)
    yield listeners
    yield _by_state("links", "Links of the mesh by state.", LINK_STATES, readings.links)
    sites = Counter(site.state for site in readings.sites)
    yield _by_state("sites", "Sites of the mesh by state.", SITE_STATES, sites)
    up = GaugeMetricFamily("linkweather_site_up", "Whether the site says that it is online.", labels=["site"])
    for site in readings.sites:
        up.add_metric([site.site], float(site.state == "online"))
    yield up
    yield _clocks(readings.sites)


def _of_sites(sites: Iterable[SiteAnswer]) -> Iterable[Metric]:
    """What the sites say in their statuses of what they lost."""
    known = [site for site in sites if site.outbox_reports is not None]
    for form, name, text in (
        (GaugeMetricFamily, "outbox_reports", "Reports that wait at the site."),
        (CounterMetricFamily, "dropped_reports", "Reports that the site's outbox had no room for."),
        (CounterMetricFamily, "refused_reports", "Reports that the site deleted as they were refused for good."),
        (CounterMetricFamily, "damaged_reports", "Reports that the site lost to damage of its outbox."),
        (GaugeMetricFamily, "oversized_reports", "Reports that wait as the broker takes no packets of their size."),
    ):
        family = form(f"linkweather_site_{name}", text, labels=["site"])
        for site in known:
            if (value := getattr(site, name)) is not None:  # a site of an older version does not say all
                family.add_metric([site.site], value)
        yield family
    for form, name, label, text in (
        (CounterMetricFamily, "overflows", "queue", "What the site dropped as too much waited."),
        (CounterMetricFamily, "unpublished", "reason", "What the site's broker would not take."),
        (GaugeMetricFamily, "damaged_files", "file", "Files that the site found damaged and set aside."),
    ):
        family = form(f"linkweather_site_{name}", text, labels=["site", label])
        for site in known:
            for value, count in (getattr(site, name) or {}).items():
                family.add_metric([site.site, value], count)
        yield family


def _clocks(sites: Iterable[SiteAnswer]) -> Metric:
    text = "By how much a site's clock is ahead of the collector's, within some seconds."
    family = GaugeMetricFamily("linkweather_site_clock_offset_seconds", text, labels=["site"])
    for site in sites:
        if site.clock_offset_s is not None:
            family.add_metric([site.site], site.clock_offset_s)
    return family


def _sinks(sinks: Sequence[SinkAnswer]) -> Iterable[Metric]:
    for form, name, text in (
        (CounterMetricFamily, "exported_rows", "Rows written since the start."),
        (CounterMetricFamily, "dropped_rows", "Rows set aside and later dropped."),
        (GaugeMetricFamily, "lag_rows", "Rows of the journal that wait to be written."),
        (GaugeMetricFamily, "set_aside_rows", "Rows refused for good, until sent again or dropped."),
    ):
        family = form(f"linkweather_sink_{name}", text, labels=["sink"])
        for sink in sinks:
            family.add_metric([sink.sink], getattr(sink, name))
        yield family
    yield _failing(sinks)


def _failing(sinks: Sequence[SinkAnswer]) -> Metric:
    text = "Whether rows cannot be written, by reason; the sentence is in /readyz and in the log."
    family = GaugeMetricFamily("linkweather_sink_failing", text, labels=["sink", "reason"])
    for sink in sinks:
        for code in sorted({*TROUBLES, sink.reason or "fault"}):
            family.add_metric([sink.sink, code], float(code == sink.reason))
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"linkweather_{name}", text, value)


def _by_state(name: str, text: str, states: Iterable[str], counts: Mapping[Any, int]) -> Metric:
    family = GaugeMetricFamily(f"linkweather_{name}", text, labels=["state"])
    for state in states:
        family.add_metric([state], counts.get(state, 0))
    return family
