"""What sites and collector say to each other beside reports: receipts, states, invitations, claims."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from linkweather.wire.fields import Count, Message, Name, Seconds, Text


class Refusal(Message):
    """A report that will never be in the journal, and why; the site drops and counts it."""

    seq: Count
    reason: Name


class Committed(Message):
    """Collector to site: these reports of outbox `boot` are in the journal, or refused for good."""

    v: Literal[1] = 1
    boot: Name
    seqs: tuple[Count, ...] = ()
    refused: tuple[Refusal, ...] = ()


class Status(Message):
    """A site's retained state; its will says offline. `dropped_datagrams` is what its reflector did not answer.

    `throughput_tests` counts the tests of its incoming links by the reason why each ran. `budget_left_bytes` is what
    its tests may move now of the `budget_bytes_per_day`, which accrues evenly; both are absent without a budget.
    """

    v: Literal[1] = 1
    state: Literal["online", "offline"]
    at: AwareDatetime | None = None
    version: Text | None = None
    capabilities: tuple[Name, ...] = ()
    outbox_reports: Count = 0
    dropped_reports: Count = 0
    refused_reports: Count = 0
    dropped_datagrams: Count = 0
    throughput_tests: dict[Name, Count] = Field(default_factory=dict)
    budget_bytes_per_day: Count | None = None
    budget_left_bytes: Count | None = None


class Invite(Message):
    """Asks the addressed site to serve one throughput test to the writer of the topic.

    `authentication` says whether its iperf3 can show a secret; `max_bytes` is the most payload that the test moves.
    """

    v: Literal[1] = 1
    id: Name
    duration_s: Seconds
    iperf3: Name
    authentication: bool = False
    max_bytes: Count | None = None


class Served(Message):
    """What the sending end of a throughput test saw: counted by its kernel until 0.1 s before the end."""

    retransmits: Count | None = None
    congestion: Name | None = None
    limited_by: Name | None = None


class Answer(Message):
    """Accepts an invitation (port, secret, public_key_pem, until) or declines it (reason, retry_after_s).

    A site behind NAT accepts without a port: it is the one to call, and `authentication` says whether its iperf3 can
    show a secret. The inviting site answers it with the same id and the port at which it serves.
    After the test, a further answer with the same id carries `served`, what the source saw.
    """

    v: Literal[1] = 1
    id: Name
    accepted: bool
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    secret: Name | None = None
    public_key_pem: Text | None = None
    iperf3: Name | None = None
    authentication: bool | None = None
    until: AwareDatetime | None = None
    reason: Name | None = None
    retry_after_s: Seconds | None = None
    served: Served | None = None


class Claim(Message):
    """Claims the groups of sites that share a bottleneck for the test with this id, for so long; 0 gives them back.

    The claim stands from when the broker passes it on; of two on the same group the first one counts.
    """

    v: Literal[1] = 1
    id: Name
    groups: tuple[Name, ...] = ()
    for_s: Seconds
