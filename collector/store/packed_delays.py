"""How the delays of latency rows lie on the disk: as whole steps, and most as what differs from another delay. Pure.

A row has twelve delays, which took nine tenths of its bytes. They are alike: the quantiles of an RTT lie near its
median, a one-way delay near half of it. DuckDB packs small whole numbers into few bits, so a row of the table
`latency_rows` has in `NAME_steps` by how many steps a delay differs from what others let expect (`_EXPECTED`), and in
`steps_per_s` how long its steps are: the longest that give each delay exactly as the probe wrote it.

A row that has no such steps, as of an old version's table, or of which a delay is missing that others are told by, has
its delays as seconds. The view `latency` reads both, and is all that readers know. In the same way a row has its site
only where it is not `src`, which publishes latency.
"""

# ruff: noqa: S608 - names of our own

from __future__ import annotations

import re
from collections.abc import Mapping
from types import CodeType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from collector.store.columns import TABLES, Column

VIEW: Final = "latency"
# By the delays before each: as expressions of steps, for numpy and for SQL.
_EXPECTED: Final[Mapping[str, str]] = {
    "rtt_p50_s": "0",
    "rtt_min_s": "rtt_p50_s",
    "rtt_mean_s": "rtt_p50_s",
    "rtt_p95_s": "rtt_p50_s",
    "rtt_p99_s": "rtt_p95_s",
    "rtt_max_s": "rtt_p99_s",
    "rtt_stdev_s": "0",
    "jitter_p95_p50_s": "rtt_p95_s - rtt_p50_s",
    "jitter_rfc3550_s": "0",
    "owd_forward_p50_s": "rtt_p50_s // 2",
    "owd_back_p50_s": "rtt_p50_s - owd_forward_p50_s",
    "owd_error_s": "0",
}
_FIELD: Final = re.compile(r"\b[a-z_]\w*")
_NEEDED: Final = {name: _FIELD.findall(expected) for name, expected in _EXPECTED.items()}
_COMPILED: Final[Mapping[str, CodeType]] = {
    name: compile(expected, name, "eval") for name, expected in _EXPECTED.items()
}
_STEPS_PER_S: Final = (1e9, 1e8, 1e7, 1e6)
_MOST_STEPS: Final = 2**29  # so that sums and differences of a few are INTEGERs


def stored_in(kind: str) -> str:
    """The table that has the rows of this kind, which a view may stand before."""
    return f"{kind}_rows" if kind == VIEW else kind


def stored_columns(kind: str) -> dict[str, str]:
    """The columns of that table, with their SQL types."""
    columns = TABLES[kind].columns
    if kind != VIEW:
        return columns
    return {**columns, "steps_per_s": "INTEGER", **{f"{name}_steps": "INTEGER" for name in _EXPECTED}}


def view() -> str:
    """The view `latency`: SQL."""
    columns = ", ".join(_read(name) for name in TABLES[VIEW].columns)
    return f"CREATE OR REPLACE VIEW {VIEW} AS SELECT {columns} FROM {stored_in(VIEW)}"


def packed(rows: Mapping[str, Column]) -> dict[str, Column]:
    """Rows of `latency` as the table has them; columns without any value are left out."""
    delays = np.stack([_with_nan(rows.get(name), len(rows["number"])) for name in _EXPECTED])
    known = dict(zip(_EXPECTED, ~np.isnan(delays), strict=True))
    per_s = _steps_per_s(delays)
    for name, needed in _NEEDED.items():
        for other in needed:
            per_s[known[name] & ~known[other]] = 0
    steps = dict(zip(_EXPECTED, np.rint(np.nan_to_num(delays * per_s)).astype(np.int64), strict=True))
    apart = {name: steps[name] - _expected(name, steps) for name in _EXPECTED}
    columns = {name: column for name, column in rows.items() if name not in _EXPECTED and name != "site"}
    kept = {
        "site": _but(rows["site"], rows["site"] == rows["src"]),
        "steps_per_s": _but(per_s.astype(np.int32), per_s == 0),
        **{f"{name}_steps": _but(apart[name].astype(np.int32), ~known[name] | (per_s == 0)) for name in _EXPECTED},
        **{name: _but(delay, ~known[name] | (per_s > 0)) for name, delay in zip(_EXPECTED, delays, strict=True)},
    }
    return columns | {name: column for name, column in kept.items() if column is not None}


def _read(name: str) -> str:
    if name == "site":
        return "coalesce(site, src) AS site"
    return f"coalesce({name}, ({_steps(name)}) / steps_per_s) AS {name}" if name in _EXPECTED else f'"{name}"'


def _steps(name: str) -> str:
    expected = _FIELD.sub(lambda found: f"({_steps(found[0])})", _EXPECTED[name])
    own = f"{name}_steps::BIGINT"  # which no sum of a few INTEGERs exceeds
    return own if expected == "0" else f"{own} + ({expected})"


def _expected(name: str, steps: Mapping[str, NDArray[np.int64]]) -> Any:
    return eval(_COMPILED[name], {"__builtins__": {}}, dict(steps))  # noqa: S307 - from the table above


def _steps_per_s(delays: NDArray[np.float64]) -> NDArray[np.float64]:
    """The fewest steps a second that give all delays of a row exactly; 0 where none do."""
    fewest = np.zeros(delays.shape[1])
    for per_s in _STEPS_PER_S:
        steps = np.rint(delays * per_s)
        exact = (steps / per_s == delays) & (np.abs(steps) < _MOST_STEPS)
        fewest[(exact | np.isnan(delays)).all(axis=0)] = per_s
    return fewest


def _with_nan(column: Column | None, rows: int) -> NDArray[np.float64]:
    return np.full(rows, np.nan) if column is None else np.ma.filled(column.astype(np.float64), np.nan)


def _but(column: Column, missing: NDArray[np.bool_]) -> Column | None:
    """The column without some values; None without any."""
    return None if missing.all() else np.ma.masked_array(column, mask=missing)
