"""Probes that are whole exchanges: a task for each, made by a prober, cancelled at the timeout."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence

from linkweather.errors import MeasurementError
from linkweather.mesh import LatencyTests
from probes.latency.kernel_timestamps import REASONS
from probes.latency.prober import ExchangeProber, ProberCall, blame
from probes.latency.session import ProbeOutcome, Session
from probes.latency.stamp_packet import StampRequest
from probes.latency.tally import SentProbe
from probes.latency.targets import LatencyTarget
from probes.latency.udp_sockets import families

MOST_RUNNING = 4096  # of one engine; the next probes fail at once, as `send_failed`


class ExchangeTransport:
    """The running exchanges of an exchange prober.

    `on_outcome` gets what became of a probe, as soon as it is known. What a prober does wrong fails its probe as
    `prober_error`; `counters` counts these.
    """

    stamps = False
    sockets: Sequence[socket.socket] = ()

    def __init__(
        self,
        prober: ExchangeProber,
        tests: LatencyTests,
        *,
        bind: Sequence[str],
        counters: Counter[str],
        on_outcome: Callable[[ProbeOutcome | None], None],
    ) -> None:
        self._prober = prober
        self._timeout_s = tests.timeout_s
        self._counters = counters
        self._on_outcome = on_outcome
        self._local = families(bind)
        self.families = frozenset(self._local)
        self._running: set[asyncio.Task[None]] = set()
        self.group: asyncio.TaskGroup | None = None

    def apply_settings(self, tests: LatencyTests) -> None:
        """Give exchanges that begin from now on this timeout."""
        self._timeout_s = tests.timeout_s

    def set_key(self, key: bytes | None) -> None:
        """Exchanges have no key of the mesh."""

    def send(self, target: LatencyTarget, probe: SentProbe, request: StampRequest) -> None:
        """Begin the exchange of a probe to a target with a route, in the engine's task group.

        Raises OSError where too many are running.
        """
        del request
        if len(self._running) >= MOST_RUNNING:
            raise BlockingIOError(errno.EAGAIN, "too many exchanges are running")
        assert target.route is not None  # noqa: S101 - the engine's own rules
        assert self.group is not None  # noqa: S101
        family, address = target.route
        call = ProberCall(
            family, target.peer.host or target.peer.address, address, self._local[family], target.peer.options
        )
        probe.figures = call.figures
        task = self.group.create_task(self._exchange(target.session, probe, call), name=f"probe[{target.peer.site}]")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def drain(self, *, all_of_it: bool) -> None:
        """Do nothing: a task says itself what it found."""

    def drain_stamps(self) -> None:
        """Do nothing: whole exchanges have no stamps."""

    def close(self) -> None:
        """Give up every exchange."""
        for task in list(self._running):
            task.cancel()

    async def _exchange(self, session: Session, probe: SentProbe, call: ProberCall) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                trip = await self._prober.exchange(call)
        except TimeoutError:
            return  # the engine's own timer, or the kernel's: the probe is lost at its timeout
        except MeasurementError as error:
            outcome = session.fail(probe, error.reason, error.detail or None)
        except OSError as error:
            known = REASONS.get(error.errno or 0)
            other = "closed" if isinstance(error, ConnectionError) else "send_failed"
            outcome = session.fail(probe, known or other, None if known else error.strerror or str(error))
        except Exception as error:  # noqa: BLE001 - a prober may be anybody's: its fault costs its own probe
            outcome = session.fail(probe, "prober_error", blame(self._prober, error, self._counters))
        else:
            outcome = session.finish(probe, trip, time.monotonic())
        self._on_outcome(outcome)
