"""The methods by which latency is measured."""

from __future__ import annotations

from collections.abc import Mapping

from probes.latency.engine import Sender
from probes.latency.icmp import IcmpSender
from probes.latency.tcp import TcpSender

# A mesh's `method` → what probes the peers that have it; all have the interface of `Sender`.
SENDERS: Mapping[str, type[Sender]] = {"stamp": Sender, "icmp": IcmpSender, "tcp": TcpSender}
