"""Links towards sites behind NAT, which no probe may be sent to: the other direction stands for them. Pure.

A room of its own because it is no part of what was measured, and of no rule: what stands for what is decided here.

A round trip crosses the same two ways whoever asks, so contact, RTT, jitter and loss of a link to a site behind NAT are
those of the link from it. A one-way delay is not, and goodput is measured both ways.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from collector.linkstate.snapshot import Snapshot
from collector.routing.arrays import Bools

_SYMMETRIC: Final = (
    "contact",
    "usable",
    "fresh",
    "rtt_p10_s",
    "rtt_p50_s",
    "rtt_p90_s",
    "rtt_mean_s",
    "rtt_age_s",
    "rtt_samples",
    "rtt_reverts",
    "jitter_s",
    "loss_ratio",
)


def mirrored(snapshot: Snapshot, behind_nat: Bools) -> tuple[Snapshot, Bools]:
    """The snapshot with the links to the sites `behind_nat`, and where the other direction stands for a link."""
    usable = snapshot.usable
    stands = behind_nat & usable.T & ~usable if behind_nat.any() else np.zeros_like(usable)
    if not stands.any():
        return snapshot, stands
    matrices = {name: getattr(snapshot, name) for name in _SYMMETRIC}
    return replace(snapshot, **{name: np.where(stands, one.T, one) for name, one in matrices.items()}), stands
