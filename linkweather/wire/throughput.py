"""Throughput of links: the rows, and the messages by which two sites arrange a test."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from linkweather.mesh import SiteId
from linkweather.wire.fields import (
    BitsPerSecond,
    Bytes,
    Count,
    Delay,
    Label,
    Moment,
    Name,
    PortNumber,
    PublicKeyPem,
    Seconds,
    Secret,
)
from linkweather.wire.messages import MANY, LinkReport, Message, Relations, Row, check_says_something

# A burst at the start may be far above the goodput after it: bytes are held to what any line can carry.
THROUGHPUT_RELATIONS = Relations(
    "goodput_low_bps <= goodput_bps <= goodput_high_bps",
    "goodput_low_bps <= goodput_10s_bps <= goodput_high_bps",
    "8 * bytes <= 1e14 * duration_s",
)

# Times `every_s`, from a test of a link to the next.
Rounds = Annotated[float, Field(ge=0.01, le=1000)]
MAX_NEXT_TESTS = 1000  # in a status; those that are due later are left out


class ThroughputRow(Row):
    """Goodput of one link as its receiver saw it. Published by `dst`, where the bytes arrive.

    `goodput_bps` is the mean after slow start, `goodput_10s_bps` what a test of 10 s finds, slow start included; low
    and high hold both, what the last tests of the link found, and more after few tests. `retransmits` is the count of
    the sender's kernel where an interrupted iperf3 gives none. `rtt_loaded_s` is the median RTT of our own probes
    while the pipe was full. What neither end could observe is absent. `reason` is why the test ran: first, expired,
    scheduled, or brought forward by latency_shift, loss or new_path.
    """

    goodput_bps: BitsPerSecond | None = None
    goodput_low_bps: BitsPerSecond | None = None
    goodput_high_bps: BitsPerSecond | None = None
    goodput_10s_bps: BitsPerSecond | None = None
    bytes: Bytes | None = None
    duration_s: Seconds | None = None
    streams: Count | None = None
    retransmits: Count | None = None
    rtt_loaded_s: Delay | None = None
    congestion: Name | None = None
    stopped_by: Name | None = None
    limited_by: Name | None = None
    reason: Name | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_says_something(self, ("goodput_bps", "goodput_10s_bps"))
        THROUGHPUT_RELATIONS.check(self.__dict__)
        return self


class ThroughputReport(LinkReport):
    """The throughput rows of one test."""

    publisher: ClassVar[Literal["dst"]] = "dst"

    kind: Literal["throughput"] = "throughput"
    links: Annotated[tuple[ThroughputRow, ...], MANY]


class NextTest(Message):
    """When the next test of the link from `src` to the site that publishes this is due, and why it takes place.

    `reason` is as in a row. `waits_for` is why the link's last turn was not used, such as budget or leased. `rounds` is
    in how many rounds the link is worth a test, where the collector has said so.
    """

    src: SiteId
    at: Moment
    reason: Name
    waits_for: Name | None = None
    rounds: Rounds | None = None


class LinkWeights(Message):
    """In how many rounds each link from `src` to the site is worth a throughput test, by what decisions gain from it.

    Published by the collector, retained. A link that is not named is tested in each round.
    """

    v: Literal[1] = 1
    site: SiteId
    at: Moment
    src: Annotated[tuple[SiteId, ...], MANY]
    rounds: Annotated[tuple[Rounds, ...], MANY]

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        if len(self.rounds) != len(self.src):
            raise ValueError(f"rounds: {len(self.rounds)} values for {len(self.src)} sources")
        return self


class Invite(Message):
    """Asks the addressed site to serve one throughput test to the site that wrote it.

    `authentication` says whether its iperf3 supports authentication; `max_bytes` limits the payload of the test.
    `addresses` are those from which the site that wrote it calls, by its own routes.
    """

    v: Literal[1] = 1
    id: Name
    duration_s: Seconds
    iperf3: Name
    authentication: bool = False
    max_bytes: Bytes | None = None
    addresses: Annotated[tuple[Name, ...], Field(max_length=16)] = ()


class Served(Message):
    """What the sending end of a throughput test observed: its kernel's counts until 0.1 s before the end."""

    retransmits: Count | None = None
    congestion: Name | None = None
    limited_by: Name | None = None


class Answer(Message):
    """Accepts an invitation (port, secret, public_key_pem, until) or declines it (reason, retry_after_s).

    One that has been accepted is declined as `disturbed` where a third party got hold of the server of the test.

    A site behind NAT accepts without a port, because it must be the one to connect; `authentication` says whether its
    iperf3 supports it. The inviting site then answers with the same id and the port at which it serves. After the test,
    a further answer with the same id carries `served`, what the source observed.
    """

    v: Literal[1] = 1
    id: Name
    accepted: bool
    port: PortNumber | None = None
    secret: Secret | None = None
    public_key_pem: PublicKeyPem | None = None
    iperf3: Name | None = None
    authentication: bool | None = None
    until: Moment | None = None
    reason: Name | None = None
    retry_after_s: Seconds | None = None
    served: Served | None = None


class Claim(Message):
    """Claims groups of sites that share a bottleneck for `for_s`, for the test with this id; 0 releases them.

    A claim holds from the moment at which the broker forwards it; the first of two claims to a group wins.
    """

    v: Literal[1] = 1
    id: Name
    groups: Annotated[tuple[Label, ...], Field(max_length=64)] = ()
    for_s: Seconds
