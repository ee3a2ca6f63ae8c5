"""What `iperf3 -J` wrote, by its client or its server: one test. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json

from collector.migration.measurement import ImportSource, Measurement, NotCarriedOverError, as_written_by, boot_of
from linkweather.wire.fields import printable

# A test of about this time found what a test of 10 s finds, slow start included.
_TEN_SECONDS = (9.0, 11.0)


def iperf3_source(name: str, content: bytes) -> ImportSource:
    """The test of one file. Raises NotCarriedOverError for a file that holds none, or one of UDP or both ways."""
    with as_written_by("iperf3 -J"):
        document = from_json(content)
        measured, cookie = _measured(document), document["start"].get("cookie")
        # A client and its server have one cookie: their files are of one test.
        return ImportSource(name, boot_of(str(cookie).encode() if cookie else content), (measured,))


def of_each_test(sources: Sequence[ImportSource]) -> Iterator[ImportSource]:
    """Of files of one test the one that says most; in place of another one, what it is."""
    best: dict[str, ImportSource] = {}
    for source in sources:
        best[source.boot] = max(best.get(source.boot, source), source, key=_known)
    for source in sources:
        kept = best[source.boot]
        same = (f"is of the same test as {kept.name}",)
        yield source if source is kept or not source.measurements else ImportSource(source.name, "", (), left_out=same)


def _known(source: ImportSource) -> int:
    return sum(value is not None for one in source.measurements for value in (one.values or {}).values())


def _measured(document: Mapping[str, Any]) -> Measurement:
    start, received = document["start"], document.get("end", {}).get("sum_received")
    asked = start.get("test_start", {})
    if not start["connected"]:
        raise NotCarriedOverError(f"never connected, so it names one host only ({document.get('error')})")
    both_ways = "sum_sent_bidir_reverse" in document.get("end", {})  # 3.12 has no word of it in `test_start`
    protocol = asked.get("protocol") or ("TCP" if {"tcp_mss", "tcp_mss_default"} & start.keys() else None)
    if protocol is None:
        raise NotCarriedOverError("failed before it said by which protocol it measures")
    if protocol != "TCP" or both_ways or asked.get("bidir"):
        raise NotCarriedOverError("is a test by UDP or both ways at once: its rate is no goodput of a link")
    src, dst = str(start["connected"][0]["local_host"]), str(start["connected"][0]["remote_host"])
    # The client sends, and its file has it first; a server's file has the server first.
    if bool(asked.get("reverse")) != ("accepted_connection" in start):
        src, dst = dst, src
    at = datetime.fromtimestamp(start["timestamp"]["timesecs"], UTC)
    # A test of some ms has a rate of 0 by the receiver's clock: no goodput either.
    if "error" in document or received is None or not received["bits_per_second"]:
        detail = printable(str(document.get("error", "it says no rate at which bytes arrived")))
        failed = {"failure": "failed", "detail": detail, "reason": "imported"}
        return Measurement("throughput", src, dst, "iperf3", at, failed)
    values = {
        **goodput(received["bits_per_second"], received["seconds"]),
        "bytes": received["bytes"],
        "streams": asked.get("num_streams"),
        "retransmits": document["end"]["sum_sent"].get("retransmits"),
        "congestion": document["end"].get("sender_tcp_congestion"),
    }
    return Measurement("throughput", src, dst, "iperf3", at + timedelta(seconds=received["seconds"]), values)


def goodput(bits_per_second: float, seconds: float) -> dict[str, Any]:
    """The fields of a throughput row that the mean over a whole test gives; the mean includes slow start."""
    low_s, high_s = _TEN_SECONDS
    return {
        "goodput_bps": float(bits_per_second),
        "goodput_10s_bps": float(bits_per_second) if low_s <= seconds <= high_s else None,
        "duration_s": float(seconds),
        "reason": "imported",
    }
