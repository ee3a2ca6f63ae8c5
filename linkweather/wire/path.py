"""Paths of links: the hops on the way, and when they changed."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from linkweather.wire.fields import Bytes, MplsLabel, Name, Ratio, Seconds, Ttl
from linkweather.wire.messages import LinkReport, Message, Row, check_says_something


class Hop(Message):
    """What answered at one TTL; `address` is None if nothing did.

    `address` answered the first flow, `also` lists what answered further flows: parallel paths. `rtt_s` is the lowest
    of `address`, `labels` the MPLS stack of the packets that reached it, outermost first (RFC 4950), and `loss_ratio`
    covers all probes to this TTL.
    """

    ttl: Ttl
    address: Name | None = None
    rtt_s: Seconds | None = None
    loss_ratio: Ratio | None = None
    also: tuple[Name, ...] | None = None
    labels: tuple[MplsLabel, ...] | None = None


class PathRow(Row):
    """The route of one link's packets. Published by `src`.

    `reached` is whether the destination itself answered. The fingerprint identifies the route; one silent router does
    not change it. `changed` marks a change, and `before` is the previous route. `path_mtu_bytes` is the largest IP
    packet known to arrive whole.
    """

    hops: tuple[Hop, ...] = ()
    reached: bool | None = None
    fingerprint: Name | None = None
    changed: bool = False
    before: tuple[Hop, ...] | None = None
    path_mtu_bytes: Bytes | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.hops:
            check_says_something(self, ("fingerprint", "path_mtu_bytes", "reached"))
        return self


class PathReport(LinkReport):
    """The path rows of one trace."""

    publisher: ClassVar[Literal["src"]] = "src"

    kind: Literal["path"] = "path"
    links: tuple[PathRow, ...]
