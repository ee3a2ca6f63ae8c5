"""What pScheduler gives its archivers: runs with their test and result. Throughput, RTT and one-way latency. Pure.

https://docs.perfsonar.net/pscheduler_ref_archivers.html: an object with `test`, `tool`, `schedule`, `participants` and
`result`. A file has one such object, an array of them, or one a line. Durations are ISO 8601's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from statistics import median_low
from typing import Any, Final

from pydantic import AwareDatetime, TypeAdapter
from pydantic_core import from_json

from collector.migration.iperf3_results import goodput
from collector.migration.measurement import ImportSource, Measurement, NotCarriedOverError, as_written_by, boot_of
from linkweather.mesh import METHOD_NAME
from linkweather.wire.fields import printable

_BUCKET_S: Final = 0.001  # pScheduler's own bucket-width
_MOMENT: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)
_DURATION: TypeAdapter[timedelta] = TypeAdapter(timedelta)

Values = dict[str, Any]
Document = Mapping[str, Any]


def pscheduler_source(name: str, content: bytes) -> ImportSource:
    """The runs of one file; those that have no place here are said. Raises NotCarriedOverError for a file of none."""
    measurements, left_out = [], []
    for number, document in enumerate(_documents(content), start=1):
        try:
            with as_written_by("pScheduler"):
                measurements.append(_measured(document))
        except NotCarriedOverError as error:
            left_out.append(f"run {number}: {error}")
    return ImportSource(name, boot_of(content), tuple(measurements), left_out=tuple(left_out))


def _documents(content: bytes) -> list[Any]:
    try:
        found = from_json(content)
    except ValueError:
        with as_written_by("pScheduler"):
            return [from_json(line) for line in content.splitlines() if line.strip()]
    return found if isinstance(found, list) else [found]


def _measured(run: Document) -> Measurement:
    kind, spec, result = run["test"]["type"], run["test"]["spec"], run["result"]
    if kind not in _VALUES:
        raise NotCarriedOverError(f"a test of the type {kind}: only {', '.join(_VALUES)} are carried over")
    if spec.get("udp"):
        raise NotCarriedOverError("a throughput test by UDP: its rate is no goodput of a link")
    src, dst = spec.get("source") or run["participants"][0], spec["dest"]
    tool = str(run.get("tool", {}).get("name"))
    method = tool if re.match(METHOD_NAME, tool) else "pscheduler"
    at = _MOMENT.validate_python(run["schedule"]["start"])
    at += _DURATION.validate_python(run["schedule"].get("duration", "PT0S"))
    failed = {"failure": "failed", "detail": printable(str(result.get("error") or result.get("diags")))}
    values = _VALUES[kind](result, spec) if result["succeeded"] else failed
    return Measurement("throughput" if kind == "throughput" else "latency", str(src), str(dst), method, at, values)


def _throughput(result: Document, _: Document) -> Values:
    rates = result["summary"]["summary"]
    bps = rates.get("receiver-throughput-bits") or rates["throughput-bits"]  # older tools have the sender's alone
    return {**goodput(bps, rates["end"] - rates["start"]), "retransmits": rates.get("retransmits")}


def _rtt(result: Document, _: Document) -> Values:
    values: Values = {"sent": result["sent"], "received": result["received"]}
    values |= {"duplicated": result.get("duplicates"), "reordered": result.get("reorders")}
    if result["received"]:
        rtts = [_seconds(one["rtt"]) for one in result["roundtrips"] if "rtt" in one]
        values["rtt_p50_s"] = median_low(rtts) if rtts else None
        names = {"min": "min", "mean": "mean", "max": "max", "stddev": "stdev"}
        values |= {f"rtt_{ours}_s": _seconds(result[theirs]) for theirs, ours in names.items() if theirs in result}
    return values


def _seconds(duration: str) -> float:
    return _DURATION.validate_python(duration).total_seconds()


def _latency(result: Document, spec: Document) -> Values:
    sent, received, error_ms = result["packets-sent"], result["packets-received"], result.get("max-clock-error")
    return {
        "sent": sent,
        "received": received,
        "lost_forward": max(0, sent - received),
        "duplicated": result.get("packets-duplicated"),
        "reordered": result.get("packets-reordered"),
        "owd_forward_p50_s": _middle(result.get("histogram-latency", {}), float(spec.get("bucket-width", _BUCKET_S))),
        "owd_error_s": None if error_ms is None else error_ms / 1000,
    }


def _middle(buckets: Mapping[str, int], width_s: float) -> float | None:
    """The low median of a histogram of delays, in seconds; None of none."""
    left = sum(buckets.values()) / 2
    for bucket in sorted(buckets, key=float):
        left -= buckets[bucket]
        if left <= 0:
            return float(bucket) * width_s
    return None


# The type of a test → what its result says.
_VALUES: Mapping[str, Callable[[Document, Document], Values]] = {
    "throughput": _throughput,
    "rtt": _rtt,
    "latency": _latency,
    "latencybg": _latency,
}
