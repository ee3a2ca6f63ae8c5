"""What is known of a selection of links, as columns that no clock has touched: any reader ages them at its own `now`.

A room of its own: link states write these columns, a cluster's mesh view reads them, and both name the same fields. A
link's latency is known to the collector that takes its source's reports, its goodput to that of its destination's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from collector.linkstate.expectations import Expectations

Floats = npt.NDArray[np.floating]
Places = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]  # the links' sources and destinations, as positions


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyColumns:
    """Contact, loss and RTT; a column has a value for each link. Times are seconds since the epoch, -inf for never."""

    contact_at: Floats
    up: npt.NDArray[np.bool_]
    rerouted_at: Floats
    loss_ratio: Floats
    jitter_s: Floats
    owd_p50_s: Floats
    rtt: Expectations


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodputColumns:
    """The newest goodput test and the goodput expected, likewise."""

    goodput_at: Floats
    goodput: Expectations


LATENCY_FACTS = ("contact_at", "up", "rerouted_at", "loss_ratio", "jitter_s", "owd_p50_s")
GOODPUT_FACTS = ("goodput_at",)
