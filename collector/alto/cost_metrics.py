"""Cost types (RFC 9439): each metric's ALTO name, unit, and value by a link's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from linkweather.mesh import Mesh
from linkweather.models.state import LinkAnswer

NUMERICAL = "numerical"
ORDINAL = "ordinal"
ARRAY = "array"
ANE_PATH = "ane-path"
MODES: Mapping[str, str] = {NUMERICAL: "num", ORDINAL: "ord"}

Value = Callable[[LinkAnswer], float | None]
Age = Callable[[LinkAnswer], float | None]
Window = Callable[[Mesh], dict[str, float]]


@dataclass(frozen=True, slots=True)
class CostType:
    """A metric in a mode (RFC 7285 §10.7)."""

    mode: str
    metric: str

    @property
    def name(self) -> str:
        """Its name in the directory, such as num-delay-rt:p95."""
        return f"{MODES[self.mode]}-{self.metric}"

    @property
    def document(self) -> dict[str, Any]:
        """The cost type's bare ALTO form."""
        return {"cost-mode": self.mode, "cost-metric": self.metric}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric: its meaning, its value on a link (None where unknown), its age and its averaging window."""

    description: str
    value: Value
    age: Age
    window: Window
    more_is_better: bool = False
    performance: bool = True

    def context(self, mesh: Mesh) -> dict[str, Any]:
        """Where the values come from (RFC 9439 §3.1): measured, so an estimation."""
        return {"cost-source": "estimation", "parameters": self.window(mesh)}


def _reached(link: LinkAnswer) -> bool:
    # A link that is down, expired or never measured has no cost: absent, not zero.
    return link.state in {"fresh", "stale"}


def _micros(seconds: float) -> float:
    return round(seconds * 1e6, 3)


def _delay(field: str) -> Value:
    def value(link: LinkAnswer) -> float | None:
        seconds = getattr(link, field)
        return _micros(seconds) if _reached(link) and seconds is not None and seconds >= 0 else None

    return value


def _variation(field: str) -> Value:
    def value(link: LinkAnswer) -> float | None:
        seconds, least = getattr(link, field), link.rtt_min_s
        return _micros(seconds - least) if _reached(link) and None not in (seconds, least) else None

    return value


def _loss_percent(link: LinkAnswer) -> float | None:
    # RFC 9439 §4.5 means one-way loss; where probes cannot tell directions, the round trip's is an upper bound.
    ratio = link.loss_ratio if link.loss_forward_ratio is None else link.loss_forward_ratio
    return round(100 * ratio, 6) if _reached(link) and ratio is not None else None


def _throughput(link: LinkAnswer) -> float | None:
    usable = link.state not in {"down", "expired"} and link.goodput_state in {"fresh", "stale"}
    return round(link.goodput_bps / 8, 3) if usable and link.goodput_bps is not None else None


def _hops(link: LinkAnswer) -> float | None:
    return link.hops if _reached(link) else None


def _latency_window(mesh: Mesh) -> dict[str, float]:
    return {"window-seconds": mesh.latency.report_interval_s}


def _loss_window(_: Mesh) -> dict[str, float]:
    return {"window-probes": 100}


def _throughput_window(mesh: Mesh) -> dict[str, float]:
    return {"window-seconds": mesh.throughput.max_duration_s}


def _no_window(_: Mesh) -> dict[str, float]:
    return {}


_RTT_STATISTICS: Mapping[str, str] = {
    "": "rtt_p50_s",  # RFC 9439 §3.3: without an operator, the median
    ":median": "rtt_p50_s",
    ":min": "rtt_min_s",
    ":mean": "rtt_mean_s",
    ":p50": "rtt_p50_s",
    ":p95": "rtt_p95_s",
    ":p99": "rtt_p99_s",
    ":max": "rtt_max_s",
}
_OWD_STATISTICS: Mapping[str, str] = {"": "owd_p50_s", ":median": "owd_p50_s", ":p50": "owd_p50_s"}


def _latency(description: str, value: Value, *, performance: bool = True) -> Metric:
    return Metric(
        description=description,
        value=value,
        age=lambda link: link.rtt_age_s,
        window=_latency_window,
        performance=performance,
    )


METRICS: Mapping[str, Metric] = {
    # RFC 7285 §11.2.3: every server has a map of this one.
    "routingcost": _latency(
        "Lower is better: the median round-trip time in microseconds", _delay("rtt_p50_s"), performance=False
    ),
    **{
        f"delay-rt{suffix}": _latency("Round-trip time in microseconds", _delay(field))
        for suffix, field in _RTT_STATISTICS.items()
    },
    **{
        f"delay-ow{suffix}": _latency("One-way delay in microseconds, where clocks are synchronised", _delay(field))
        for suffix, field in _OWD_STATISTICS.items()
    },
    # RFC 9439 §4.3: above the smallest delay. Ours is of the round trip: an upper bound for one way.
    **{
        f"delay-variation{suffix}": _latency(
            "Round-trip time above the smallest of the window, in microseconds", _variation(field)
        )
        for suffix, field in _RTT_STATISTICS.items()
    },
    "lossrate": Metric(
        description="Packets lost on the way there, in percent; of the round trip where only that is known",
        value=_loss_percent,
        age=lambda link: link.age_s,
        window=_loss_window,
    ),
    "hopcount": Metric(
        description="Hops to the destination, which answers as the last",
        value=_hops,
        age=lambda link: link.path_age_s,
        window=_no_window,
    ),
    "tput": Metric(
        description="TCP goodput at the receiver, in bytes per second",
        value=_throughput,
        age=lambda link: link.goodput_age_s,
        window=_throughput_window,
        more_is_better=True,
    ),
}

COST_TYPES: Mapping[tuple[str, str], CostType] = {
    (mode, metric): CostType(mode, metric) for metric in METRICS for mode in MODES
}


def described(cost_type: CostType, mesh: Mesh) -> dict[str, Any]:
    """A cost type as the directory lists it: with description and source."""
    metric = METRICS[cost_type.metric]
    document = {**cost_type.document, "description": metric.description}
    return document | ({"cost-context": metric.context(mesh)} if metric.performance else {})
