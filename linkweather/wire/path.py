"""Paths of links: the hops on the way, and when they changed."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from linkweather.wire.fields import Delay, MplsLabel, Name, PacketBytes, Ratio, Ttl
from linkweather.wire.messages import MANY, LinkReport, Message, Row, check_says_something


class Hop(Message):
    """What answered at one TTL; `address` is None if nothing did.

    `address` answered the first flow, `also` lists what answered further flows: parallel paths. `rtt_s` is the lowest
    of `address`, `labels` the MPLS stack of the packets that reached it, outermost first (RFC 4950), and `loss_ratio`
    covers all probes to this TTL.
    """

    ttl: Ttl
    address: Name | None = None
    rtt_s: Delay | None = None
    loss_ratio: Ratio | None = None
    also: Annotated[tuple[Name, ...], Field(max_length=64)] | None = None
    labels: Annotated[tuple[MplsLabel, ...], Field(max_length=64)] | None = None


Hops = Annotated[tuple[Hop, ...], Field(max_length=255)]


class PathRow(Row):
    """The route of one link's packets. Published by `src`.

    `reached` is whether the destination itself answered. The fingerprint identifies the route; one silent router does
    not change it. `changed` marks a change, and `before` is the previous route. `path_mtu_bytes` is the largest IP
    packet known to arrive whole.
    """

    hops: Hops = ()
    reached: bool | None = None
    fingerprint: Name | None = None
    changed: bool = False
    before: Hops | None = None
    path_mtu_bytes: PacketBytes | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.hops:
            check_says_something(self, ("fingerprint", "path_mtu_bytes", "reached"))
        for hops in (self.hops, self.before or ()):
            if any(one.ttl >= other.ttl for one, other in pairwise(hops)):
                raise ValueError("hops: each ttl above the one before, does not hold")
        return self


class PathReport(LinkReport):
    """The path rows of one trace, or of several that a site made within seconds."""

    publisher: ClassVar[Literal["src"]] = "src"

    kind: Literal["path"] = "path"
    links: Annotated[tuple[PathRow, ...], MANY]
