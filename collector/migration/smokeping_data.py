"""What `rrdtool info` and `rrdtool fetch` print of a file of SmokePing: its averages, as rows of latency. Pure.

SmokePing's data sources: `loss`, how many of the pings of a step had no reply, `median` and `ping1` to `pingN` in
seconds, sorted. A step of an average over several steps has so many times the pings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from collector.migration.measurement import ImportSource, Measurement, NotCarriedOverError, boot_of

_INFO = re.compile(r"^(step|last_update|rra\[(\d+)\]\.(cf|rows|pdp_per_row)) = \"?(\w+)\"?$", re.MULTILINE)
_LINE = re.compile(r"^(\d{1,12}): (.+)$", re.MULTILINE)
_PINGS = re.compile(r"ping\d+")


@dataclass(frozen=True, slots=True)
class Averages:
    """One archive of averages: a value every `step_s`, each of `steps` steps of the file, in (start, end]."""

    step_s: int
    steps: int
    start: int
    end: int


def archives(info: str) -> list[Averages]:
    """The archives of a file, the finest first, each for the time before the one before it."""
    plain: dict[str, int] = {}
    found: dict[str, dict[str, str]] = {}
    for key, number, field, value in _INFO.findall(info):
        if number:
            found.setdefault(number, {})[field] = value
        else:
            plain[key] = int(value)
    averages = [(int(one["pdp_per_row"]), int(one["rows"])) for one in found.values() if one["cf"] == "AVERAGE"]
    if not averages or len(plain) < 2:
        raise NotCarriedOverError("has no averages")
    spans = []
    end = plain["last_update"]
    for steps, rows in sorted(averages):
        step_s = steps * plain["step"]
        start, last = (plain["last_update"] // step_s - rows) * step_s, end // step_s * step_s
        if start < last:
            spans.append(Averages(step_s, steps, start, last))
            end = start
    return spans


def smokeping_source(name: str, src: str, dst: str, span: Averages, fetched: str) -> ImportSource:
    """The averages of one archive. A report's number is that of its step: a file that grew adds what is new.

    Raises NotCarriedOverError where it is no file of SmokePing's.
    """
    names = fetched.split("\n", 1)[0].split()
    if not {"loss", "median", "ping1"} <= set(names):
        raise NotCarriedOverError(f"has no loss, median and ping1, as SmokePing's files do; it has {' '.join(names)}")
    steps = _known(list(_steps(names, fetched, span)))
    boot = boot_of(f"smokeping {src} {dst} {span.step_s}".encode())
    measured = tuple(
        Measurement("latency", src, dst, "smokeping", datetime.fromtimestamp(at, UTC), _latency_values(values, span))
        for at, values in steps
    )
    if not steps:
        return ImportSource(name, boot, (), left_out=(f"has no data in steps of {span.step_s} s",))
    return ImportSource(name, boot, measured, first=steps[0][0] // span.step_s)


def _steps(names: Sequence[str], fetched: str, span: Averages) -> Iterator[tuple[int, dict[str, float]]]:
    for at, values in _LINE.findall(fetched):
        if span.start < int(at) <= span.end:
            yield int(at), dict(zip(names, map(float, values.split()), strict=False))


def _known(steps: list[tuple[int, dict[str, float]]]) -> list[tuple[int, dict[str, float]]]:
    """The steps from the first to the last of which anything is known."""
    known = [place for place, (_, values) in enumerate(steps) if not math.isnan(values["loss"])]
    return steps[known[0] : known[-1] + 1] if known else []


def _latency_values(values: Mapping[str, float], span: Averages) -> dict[str, Any] | None:
    if math.isnan(values["loss"]):
        return None
    pings = [value for name, value in values.items() if _PINGS.fullmatch(name)]
    sent = len(pings) * span.steps
    received = sent - min(sent, round(values["loss"] * span.steps))
    row: dict[str, Any] = {"sent": sent, "received": received, "window_s": float(span.step_s)}
    rtts, median = [value for value in pings if not math.isnan(value)], values["median"]
    if received and not math.isnan(median):
        row["rtt_p50_s"] = median
        if rtts and min(rtts) <= median <= max(rtts):  # averages of several steps need not be in order
            row |= {"rtt_min_s": min(rtts), "rtt_max_s": max(rtts)}
    return row
