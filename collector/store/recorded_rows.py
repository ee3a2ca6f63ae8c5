"""The rows that the journal has, read back: the latest ones at a start, capacities, and the history of a metric."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from collector.store.columns import (
    CAPACITY,
    LINK_TABLES,
    MEASURED_AT,
    REPORT_COLUMNS,
    JournalTable,
    Recorded,
    naive,
    readable,
    sound,
)
from collector.store.database import Database
from linkweather.models.state import HistoryBucket
from linkweather.wire import DeviceRow
from linkweather.wire.fields import FIGURE_NAME

# metric of a link → the table that has it: every field that is a number.
METRICS: Mapping[str, str] = {
    name: kind
    for kind, table in LINK_TABLES.items()
    for name, field in table.fields.items()
    if field.sql in {"BIGINT", "DOUBLE"}
}
_FIGURE_METRIC = re.compile(rf"figures\.({FIGURE_NAME.strip('^$')})")
_QUOTED = '"{}"'.format


@dataclass(frozen=True, slots=True)
class RecordedRows:
    """The rows in a journal's database. Any thread may call; every call blocks, and raises duckdb.Error."""

    database: Database

    def capacities(self) -> list[Recorded[DeviceRow]]:
        """The last report of each type of devices of each site, however old; by `seq`, and between boots by time."""
        rows = self.database.rows(
            f"""SELECT {_names(CAPACITY)} FROM
                    (FROM capacity WHERE {sound("capacity")}
                     QUALIFY row_number() OVER (PARTITION BY site, "type", boot ORDER BY seq DESC) = 1)
                QUALIFY row_number()
                    OVER (PARTITION BY site, "type" ORDER BY {MEASURED_AT} DESC, number DESC) = 1
                ORDER BY site, "type" """  # noqa: S608 - names from our table
        )
        return list(readable(CAPACITY, rows))

    def newest_paths(self) -> list[tuple[str, str, list[str]]]:
        """The hops' addresses of the newest trace of each link (src, dst) that reached its destination.

        DuckDB reads them out of the JSON: 40,000 traces as messages take 300 MB, of which little is given back.
        """
        return self.database.rows(
            f"""SELECT src, dst, json_extract_string(hops, '$[*].address') FROM
                (SELECT src, dst, arg_max(hops, number) AS hops FROM path
                 WHERE reached AND {sound("path")} GROUP BY src, dst)
                WHERE json_valid(hops)"""  # noqa: S608 - names from our table
        )

    def history(
        self, src: str, dst: str, metric: str, *, since: datetime, until: datetime, step_s: float
    ) -> list[HistoryBucket]:
        """One metric that `metric_source` knows of one link in `[since, until)`, by buckets of `step_s`, oldest first.

        Buckets lie on multiples of the step since 1970; buckets without a value are left out. A row whose site's clock
        is ahead stands where it arrived.
        """
        source = metric_source(metric)
        assert source is not None  # noqa: S101 - the caller has checked it
        table, column = source
        step_us = max(1, round(step_s * 1e6))
        rows = self.database.rows(
            f"""SELECT epoch_us("at") // $step AS bucket, count(value), min(value),
                       quantile_cont(value, 0.5), quantile_cont(value, 0.95), max(value)
                FROM (SELECT {MEASURED_AT} AS "at", {table}.{column}::DOUBLE AS value FROM {table}
                      WHERE src = $src AND dst = $dst AND received_at >= $since)
                WHERE isfinite(value) AND "at" >= $since AND "at" < $until
                GROUP BY bucket ORDER BY bucket""",  # noqa: S608 - names from our table
            {"step": step_us, "src": src, "dst": dst, "since": naive(since), "until": naive(until)},
        )
        fields = ("count", "min", "p50", "p95", "max")
        return [
            HistoryBucket(
                at=datetime.fromtimestamp(bucket * step_us / 1e6, UTC), **dict(zip(fields, values, strict=True))
            )
            for bucket, *values in rows
        ]


def metric_source(metric: str) -> tuple[str, str] | None:
    """The table and the column of a metric: a key of METRICS, or `figures.` and the name of a prober's own figure."""
    if metric in METRICS:
        return METRICS[metric], _QUOTED(metric)
    figure = _FIGURE_METRIC.fullmatch(metric)
    return ("latency", f"figures['{figure[1]}']") if figure else None


def _names(table: JournalTable[Any]) -> str:
    return ", ".join(map(_QUOTED, (*REPORT_COLUMNS, *table.fields)))
