"""How long a transfer will take: set-up, slow start, then bytes over goodput; direct, or through relays. Pure.

A leg on its own takes two RTTs of set-up (the handshake of TCP; the request on its way, and the first byte), then
rounds of one RTT each. The first round carries the initial window, each later one twice as much (RFC 5681 §3.1),
until a window fills the pipe (goodput × RTT) or the bytes are all sent; from then on they flow at the goodput. Half an
RTT is added where there is more than one round, since senders pace and receivers open their window with a delay:
measured, 0.1 RTT (cubic) and 0.6 (BBR) with an Ethernet's segments, 0.7 with 9000 octets. Streams share the
goodput, and each has a window of its own.

A pipelined relay forwards while it receives: set-ups add up, slow starts overlap, and the slowest leg decides, which
for many bytes is the smallest goodput. No leg runs faster than the legs after it accept; one behind a slower leg uses
all of its own goodput, since bytes wait at the relay while it starts. A stored relay receives everything first, so
its legs' times add up. Both split the connection: each leg has its own congestion control. A forwarded path goes
through a relay that passes packets on: one connection over all legs, whose window takes the round trip of the whole
path. A leg that carried a goodput c at its own RTT r was given the window c × r, and that gives c × r / Σr on the path;
the least of the legs decides.

Loss has no term of its own: the goodput includes it. Nor has the queue of a bottleneck: the RTT is the one without
load, since set-up and slow start find the queue empty, and bytes that wait in it would have waited before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
# One path's figure, or many candidates' in an array.
Figure = TypeVar("Figure", float, Floats)
RelayMode = Literal["pipelined", "stored", "forwarded"]

# An Ethernet's 1500 less 20 octets of IPv4, 20 of TCP, 12 of its timestamps.
MSS_BYTES = 1448
INITIAL_SEGMENTS = 10  # RFC 6928
# RFC 7323 §2.2: a SYN's window is not scaled, so whatever the segment's size the first round has no more than this.
FIRST_WINDOW_BYTES = 65535
SETUP_ROUNDS = 2.0
PACED_ROUNDS = 0.5
# By how much one transfer in ten takes longer than this rule says, measured: a share of set-up and slow start, which is
# nearly all of a short transfer, and one of the whole time.
START_ERROR_P90 = 0.2
RATE_ERROR_P90 = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLeg(Generic[Figure]):
    """One link of a path as expected: its RTT, and the goodput of one test that fills it.

    `goodput_p10_bps` is what nine of ten tests exceed. All are scalars, or arrays over candidates that broadcast
    with the other legs'; NaN in an array is a figure that is not known. `mss_bytes` is the path MTU less 52.
    """

    rtt_p50_s: Figure
    rtt_p90_s: Figure
    goodput_p50_bps: Figure
    goodput_p10_bps: Figure
    mss_bytes: Figure | float = MSS_BYTES


_FIGURES = tuple(field.name for field in fields(TransferLeg))


@dataclass(frozen=True, slots=True)
class TransferTime(Generic[Figure]):
    """Seconds from the first packet to the last byte: the middle, and what nine of ten transfers stay below."""

    p50_s: Figure
    p90_s: Figure


def transfer_time(
    legs: Sequence[TransferLeg[Figure]], size_bytes: float, *, streams: int = 1, relay: RelayMode = "pipelined"
) -> TransferTime[Figure]:
    """The time of a transfer over these legs, one after another, with a relay between any two.

    Arrays in, arrays out, NaN where a figure is not known. Raises ValueError with a sentence that names the argument.

    The p90 combines the causes as independent ones, by the square root of their squares' sum: each leg's RTT at its
    p90 with all else at p50, each leg's goodput at its p10 likewise, and the rule's own error. It is exact for one
    cause alone, and would be for normal ones with a linear effect; all quantiles at once would be too cautious, as legs
    are seldom bad together.
    """
    _check_question(legs, size_bytes, streams, relay)
    table = _table(legs)
    _check_figures(legs, table)
    rtt, rtt_p90, goodput, goodput_p10, mss = table
    window = streams * np.minimum(INITIAL_SEGMENTS * mss, FIRST_WINDOW_BYTES)
    # [case, leg]: all as expected (0), then one leg with a longer RTT (1), then one with less goodput (2).
    cases, each = _cases(len(legs)), np.arange(len(legs))
    rtts = np.stack((rtt, rtt_p90, rtt))[cases, each]
    rates = np.stack((goodput, goodput, goodput_p10))[cases, each]
    rates /= 8
    times, sending = _RELAYED[relay](size_bytes, rtts, rates, window)
    p50: Floats = times[0]
    own_error = (START_ERROR_P90 * (p50 - sending[0])) ** 2 + (RATE_ERROR_P90 * p50) ** 2
    p90 = p50 + np.sqrt(((times[1:] - p50) ** 2).sum(axis=0) + own_error)
    # One path's figures make arrays without a dimension, and their user wants numbers.
    found: TransferTime[Any] = TransferTime(p50, p90) if p50.ndim else TransferTime(float(p50), float(p90))
    return found


def _table(legs: Sequence[TransferLeg[Figure]]) -> Floats:
    """The figures as [figure, leg, …], of one shape."""
    figures = [getattr(leg, name) for name in _FIGURES for leg in legs]
    table: Floats = np.array(np.broadcast_arrays(*figures), dtype=float)
    return table.reshape(len(_FIGURES), len(legs), *table.shape[1:])


def _flow_s(size_bytes: float, rtt_s: Floats, rate: Floats, window: Floats) -> Floats:
    """Seconds from the first byte to the last, at `rate` bytes/s, where the first round carries `window`."""
    # The sums of the rounds are window × (2^n − 1): it is over when that is all, or when a window fills the pipe. In
    # place, as for 1,000 candidates the memory of every intermediate result costs more than its arithmetic.
    rounds = rate * rtt_s
    rounds /= window
    np.ceil(np.log2(np.maximum(rounds, 1.0, out=rounds), out=rounds), out=rounds)
    to_send = np.maximum(np.ceil(np.log2(size_bytes / window + 1.0)) - 1.0, 0.0)
    np.minimum(rounds, to_send, out=rounds)
    flow_s = np.exp2(rounds)
    flow_s -= 1.0
    flow_s *= window
    np.subtract(size_bytes, flow_s, out=flow_s)  # the rest, which the rounds have not sent
    paced = PACED_ROUNDS * (rounds > 0)
    rounds += paced
    rounds *= rtt_s
    paced *= window
    flow_s -= paced
    flow_s /= rate
    flow_s += rounds
    return flow_s


def _cases(legs: int) -> npt.NDArray[np.integer]:
    changes = np.eye(legs, dtype=int)
    return np.concatenate((np.zeros((1, legs), dtype=int), changes, 2 * changes))


# Each takes the size, RTTs and rates [case, leg, …] and windows [leg, …], and gives two times for each case: that of
# the path, and what of it the bytes would take if their goodput were there at once.
def _pipelined(size_bytes: float, rtts: Floats, rates: Floats, window: Floats) -> tuple[Floats, Floats]:
    taken = rates.copy()
    for leg in range(rates.shape[1] - 2, -1, -1):
        np.minimum(taken[:, leg], taken[:, leg + 1], out=taken[:, leg])
    flows = _flow_s(size_bytes, rtts, taken, window)
    return SETUP_ROUNDS * rtts.sum(axis=1) + flows.max(axis=1), size_bytes / taken[:, 0]


def _stored(size_bytes: float, rtts: Floats, rates: Floats, window: Floats) -> tuple[Floats, Floats]:
    flows = _flow_s(size_bytes, rtts, rates, window)
    return (SETUP_ROUNDS * rtts + flows).sum(axis=1), (size_bytes / rates).sum(axis=1)


def _forwarded(size_bytes: float, rtts: Floats, rates: Floats, window: Floats) -> tuple[Floats, Floats]:
    rtt = rtts.sum(axis=1)
    rate = (rates * rtts[0]).min(axis=1) / rtt  # a longer RTT does not widen the window that was measured
    return SETUP_ROUNDS * rtt + _flow_s(size_bytes, rtt, rate, window.min(axis=0)), size_bytes / rate


_Relayed = Callable[[float, Floats, Floats, Floats], tuple[Floats, Floats]]
_RELAYED: Mapping[RelayMode, _Relayed] = {"pipelined": _pipelined, "stored": _stored, "forwarded": _forwarded}


def _check_question(legs: Sequence[TransferLeg[Figure]], size_bytes: float, streams: int, relay: str) -> None:
    if not legs:
        raise ValueError("legs: at least one is needed")
    if relay not in _RELAYED:
        raise ValueError(f"relay = {relay!r}: must be one of {', '.join(_RELAYED)}")
    if streams < 1:
        raise ValueError(f"streams = {streams!r}: must be at least 1")
    _check_positive("size_bytes", size_bytes)


def _check_figures(legs: Sequence[TransferLeg[Figure]], table: Floats) -> None:
    """Look for what is wrong, where not all is known and right."""
    rtt, rtt_p90, goodput, goodput_p10, _ = table
    if ((table > 0) & (table < np.inf)).all() and (rtt_p90 >= rtt).all() and (goodput_p10 <= goodput).all():
        return
    for number, leg in enumerate(legs):
        for name in _FIGURES:
            _check_positive(f"legs[{number}].{name}", getattr(leg, name))
        _check_order(number, leg)


def _check_positive(name: str, figure: float | Floats) -> None:
    values = np.asarray(figure, dtype=float)
    # An array's NaN is a candidate of which something is not known; a single one would be an answer without a ground.
    wrong = (values <= 0) | np.isinf(values) | (np.isnan(values) & (values.ndim == 0))
    if wrong.any():
        raise ValueError(f"{name} = {values[wrong].flat[0]:g}: must be a finite number above 0")


def _check_order(number: int, leg: TransferLeg[Figure]) -> None:
    if np.less(leg.rtt_p90_s, leg.rtt_p50_s).any():
        raise ValueError(f"legs[{number}].rtt_p90_s: must be at least rtt_p50_s")
    if np.greater(leg.goodput_p10_bps, leg.goodput_p50_bps).any():
        raise ValueError(f"legs[{number}].goodput_p10_bps: must be at most goodput_p50_bps")
