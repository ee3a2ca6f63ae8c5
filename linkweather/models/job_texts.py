"""A job as people type it, in options or in a form: the values of a job file, which the job's model checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from linkweather.errors import OperatorError


def job_values(texts: Mapping[str, Any]) -> dict[str, Any]:
    """The values that `data`, `devices` and `work` say, each several texts, and `result`, `deadline` and `max_price`.

    Raises OperatorError for a text that is none, by its option.
    """
    values = {
        "data": [_located("--data", text) for text in texts.get("data", ())] or None,
        "result": _located("--result", texts["result"]) if "result" in texts else None,
        "devices": list(_needs(texts.get("devices", ()), texts.get("work", ()))) or None,
        "deadline_s": texts.get("deadline"),
        "max_price_usd": texts.get("max_price"),
    }
    return {name: value for name, value in values.items() if value is not None}


def _located(option: str, text: str) -> dict[str, Any]:
    site, size = _split(option, text, "SITE:BYTES, such as north:2TB")
    return {"site": site, "bytes": size}


def _needs(devices: Sequence[str], work: Iterable[str]) -> Iterator[dict[str, Any]]:
    counts = [_split("--devices", text, "TYPE:N, such as a100:8") for text in devices]
    types = {name for name, _ in counts}
    hours: dict[str, str] = {}
    for text in work:
        value, _, name = text.partition(":")
        name = name or (counts[0][0] if len(types) == 1 else "")
        if name not in types or name in hours:
            raise OperatorError(f"--work {text!r}: must be HOURS:TYPE, once for each type that --devices names")
        hours[name] = value
    for name, count in counts:
        need = {"type": name, "count": _number(count, int)}
        yield need | ({"work_device_hours": _number(hours[name], float)} if name in hours else {})


def _split(option: str, text: str, allowed: str) -> tuple[str, str]:
    name, _, value = text.rpartition(":")
    if not name:
        raise OperatorError(f"{option} {text!r}: must be {allowed}")
    return name, value


def _number(text: str, kind: type[int | float]) -> int | float | str:
    try:
        return kind(text)
    except ValueError:
        return text
