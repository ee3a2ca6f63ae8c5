"""The protocol of the tracer's process: its request, and the JSON lines that it prints. It needs no scapy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from linkweather.errors import MessageError
from linkweather.mesh import MAX_FLOWS, MAX_HOPS, MOST_HOPS, PathMethod
from linkweather.wire import Message, Name, Seconds, Text, decode

Ttl = Annotated[int, Field(ge=1, le=255)]
Label = Annotated[int, Field(ge=0, lt=2**20)]


class TraceRequest(Message):
    """One trace: to which host, by which packets, over how many flows, how far. `port` is for UDP and TCP.

    `bind` are local addresses to trace from, at most one per family. `family` is AF_INET, AF_INET6 or 0.
    `first_key` is the first flow's source port or echo identifier, and the next flows have the next ones, so that
    each trace sends the same flows; where it is None, or a port is taken, any that is free.
    """

    host: Text
    method: PathMethod = "udp"
    port: Annotated[int, Field(ge=1, le=65535)]
    flows: Annotated[int, Field(ge=1, le=MAX_FLOWS)] = 4
    max_hops: Annotated[int, Field(ge=1, le=MOST_HOPS)] = MAX_HOPS
    bind: tuple[Name, ...] = ()
    family: int = 0
    first_key: Annotated[int, Field(ge=1024, le=65535 - MAX_FLOWS)] | None = None


class Begun(Message):
    """The trace goes to this address, the first that the host's name has."""

    line: Literal["begun"] = "begun"
    address: Name


class HopSample(Message):
    """One probe that settled. `refused`: a router said that it will not forward the packet.

    `labels` is the MPLS stack under which the probe reached the router (RFC 4950), the outermost first.
    """

    line: Literal["sample"] = "sample"
    flow: Annotated[int, Field(ge=0, lt=MAX_FLOWS)]
    ttl: Ttl
    outcome: Literal["exceeded", "reached", "refused", "lost"]
    address: Name | None = None
    rtt_s: Seconds | None = None
    labels: tuple[Label, ...] = ()


class Done(Message):
    """The trace is over. `path_mtu_bytes` is the largest packet that arrives whole, None where it is not known."""

    line: Literal["done"] = "done"
    path_mtu_bytes: Annotated[int, Field(ge=68, le=65535)] | None = None


class Failed(Message):
    """The trace could not be made."""

    line: Literal["failed"] = "failed"
    failure: Name
    detail: Text


Line = Begun | HopSample | Done | Failed
LINES: Mapping[str, type[Begun | HopSample | Done | Failed]] = {
    "begun": Begun,
    "sample": HopSample,
    "done": Done,
    "failed": Failed,
}


def parse(text: bytes) -> Line:
    """Parse one line of the tracer. Raises MessageError: `malformed`, `unknown_line` or `impossible`."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise MessageError("malformed", "is not JSON") from None
    name = values.get("line") if isinstance(values, dict) else None
    model = LINES.get(str(name))
    if model is None:
        raise MessageError("unknown_line", str(name)[:64])
    return decode(model, text)
