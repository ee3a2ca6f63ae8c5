"""The series of each link for Prometheus, as text, from the columns of a table.

prometheus-client makes an object of every sample, which costs ten times as much, and holds up the event loop.
A figure that was never measured, or that says nothing of now, has no series: Prometheus then marks it as gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from collector.api.row_texts import row_texts
from collector.linkstate.link_answers import LinkTable
from collector.linkstate.snapshot import LINK_STATES

Bools = npt.NDArray[np.bool_]
Values = npt.NDArray[Any]

_OCTET_BITS: Final = 8
# In these states a figure says nothing of now.
_NO_RTT: Final = ("unknown", "expired", "down")
_NO_LOSS: Final = ("unknown", "expired")


@dataclass(frozen=True, slots=True)
class LinkFamily:
    """One metric: the column behind each further label, and the states of `of` in which its figures are left out."""

    name: str
    text: str
    columns: Mapping[str, str]
    gone: tuple[str, ...] = ()
    of: str = "state"
    form: str = "gauge"
    divisor: float = 1


FAMILIES: Final = (
    LinkFamily(
        "rtt_seconds",
        "Round-trip time of the newest row.",
        {f',quantile="{share}"': f"rtt_p{name}_s" for share, name in (("0.5", 50), ("0.95", 95), ("0.99", 99))},
        _NO_RTT,
        form="summary",  # of a window, without the count and the sum that a histogram of all time would have
    ),
    LinkFamily("jitter_seconds", "The 95th percentile of the RTT less its median.", {"": "jitter_s"}, _NO_RTT),
    LinkFamily(
        "loss_ratio",
        "Share of the last probes that were lost in one direction, where the method can tell.",
        {f',direction="{name}"': f"loss_{name}_ratio" for name in ("forward", "back")},
        _NO_LOSS,
    ),
    LinkFamily("round_trip_loss_ratio", "Share of the last probes without a reply.", {"": "loss_ratio"}, _NO_LOSS),
    LinkFamily(
        "goodput_bytes_per_second",
        "What the newest throughput test delivered.",
        {"": "goodput_bps"},
        ("unknown", "expired"),
        of="goodput_state",
        divisor=_OCTET_BITS,
    ),
    LinkFamily("age_seconds", "Age of the newest latency row.", {"": "age_s"}),
    LinkFamily("goodput_age_seconds", "Age of the newest throughput test that measured.", {"": "goodput_age_s"}),
)
_STATE: Final = LinkFamily("state", "Whether the link is in the state.", {})


def link_series(table: LinkTable) -> Iterator[bytes]:
    """The text format's lines (version 0.0.4) of all families, some at a time. Blocks. Raises duckdb.Error."""
    src, dst = table.column("src"), table.column("dst")
    for family in FAMILIES:
        yield _head(family)
        shown = _shown(table, family)
        for label, column in family.columns.items():
            if column in table.columns:
                values = table.columns[column].astype(np.float64) / family.divisor
                places = np.flatnonzero(shown & np.isfinite(values))
                columns = {"src": src[places], "dst": dst[places], "value": values[places]}
                yield from row_texts(columns, _line(family, label, "format('{:.9g}', value)"))
    yield _head(_STATE)
    is_one = "CASE WHEN state = '{0}' THEN '1' ELSE '0' END"
    lines = [_line(_STATE, f',state="{state}"', is_one.format(state)) for state in LINK_STATES]
    yield from row_texts({"src": src, "dst": dst, "state": table.columns["state"]}, f"concat({', '.join(lines)})")


def _shown(table: LinkTable, family: LinkFamily) -> Bools:
    states = table.columns[family.of]
    return (
        np.logical_and.reduce([states != state for state in family.gone]) if family.gone else np.ones(len(table), bool)
    )


def _head(family: LinkFamily) -> bytes:
    name = f"linkweather_link_{family.name}"
    return f"# HELP {name} {family.text}\n# TYPE {name} {family.form}\n".encode()


def _line(family: LinkFamily, label: str, value: str) -> str:
    """The SQL of a row's line."""
    begin, middle, end = f'linkweather_link_{family.name}{{src="', '",dst="', f'"{label}}} '
    return f"concat('{begin}', src, '{middle}', dst, '{end}', {value}, chr(10))"
