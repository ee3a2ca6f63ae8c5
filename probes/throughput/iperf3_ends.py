"""A site's iperf3 for arranged tests: whichever end of a test the site is, serving or calling."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from linkweather.wire import Answer
from probes.throughput.credentials import Credential, Guard, KeyPair, key_pair, padding
from probes.throughput.iperf3_client import MARGIN_S, run_client
from probes.throughput.iperf3_output import Build, parse_version
from probes.throughput.iperf3_server import DEFAULT_PORTS, OneOffServer, serve_once
from probes.throughput.result import Result
from probes.throughput.signalling import ANSWER_LIMIT_S
from probes.throughput.stop_rule import StopRule

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """How this site serves: its own address, the ports to pick from, where its keys are kept."""

    keys_folder: Path
    bind: str | None = None
    ports: Sequence[int] = DEFAULT_PORTS


@dataclass(frozen=True, slots=True)
class PeerIperf3:
    """The other end's iperf3: its version, and whether it can show a secret when it calls."""

    site: str
    version: str | None
    authentication: bool


class SiteIperf3:
    """The installed iperf3, `build`, with its keys and a `token` for each test's secret."""

    def __init__(self, settings: ServingSettings, build: Build, token: Callable[[], str]) -> None:
        self.build = build
        self._settings = settings
        self._token = token
        self._keys: KeyPair | None = None
        self._preparing = asyncio.Lock()

    async def prepare(self) -> None:
        """Have the keys ready before the first peer waits for them. Raises OperatorError: they cannot be kept."""
        async with self._preparing:
            if self.build.authentication and self._keys is None:
                self._keys = await key_pair(self._settings.keys_folder)

    @contextlib.asynccontextmanager
    async def serve(
        self, test_id: str, peer: PeerIperf3, duration_s: float
    ) -> AsyncIterator[tuple[OneOffServer, Answer]]:
        """A server for one test with the peer, and the answer that says where it is and what opens it.

        Raises MeasurementError or OperatorError when there is none.
        """
        await self.prepare()
        seconds = duration_s + ANSWER_LIMIT_S + MARGIN_S
        guard = self._guard(peer)
        async with serve_once(self._settings.bind, self._settings.ports, guard=guard, seconds=seconds) as server:
            yield (
                server,
                Answer(
                    id=test_id,
                    accepted=True,
                    port=server.port,
                    secret=guard.secret if guard else None,
                    public_key_pem=guard.keys.public_pem if guard else None,
                    iperf3=str(self.build),
                    until=datetime.now(UTC) + timedelta(seconds=seconds),
                ),
            )

    async def fetch(self, host: str, offer: Answer, rule: StopRule) -> Result:
        """Call the server that the answer offers, and receive. Raises OperatorError: iperf3 has vanished."""
        return await run_client(
            host,
            offer.port or 0,
            duration_s=rule.max_duration_s,
            until_converged=rule.until_converged,
            max_bytes=rule.max_bytes,
            bind=self._settings.bind,
            credential=self._credential(offer),
        )

    async def deliver(self, host: str, offer: Answer, duration_s: float, max_bytes: int | None) -> Result:
        """Call the server that the answer offers, and send until it has seen enough; raises as `fetch`."""
        # The receiving server stops the test. We stop later than it would: an interrupted client is a failure to it.
        longest_s = math.ceil(duration_s) + (max_bytes is not None)
        return await run_client(
            host,
            offer.port or 0,
            duration_s=longest_s,
            max_bytes=max_bytes,
            bind=self._settings.bind,
            credential=self._credential(offer),
            reverse=False,
        )

    def _guard(self, peer: PeerIperf3) -> Guard | None:
        if self._keys is None or not peer.authentication:
            log.warning("serving a throughput test to %s without a secret: an iperf3 lacks authentication", peer.site)
            return None
        return Guard(self._keys, self._token(), self._padding(peer.version))

    def _credential(self, offer: Answer) -> Credential | None:
        if offer.secret and offer.public_key_pem:
            return Credential(offer.secret, offer.public_key_pem, self._padding(offer.iperf3))
        return None

    def _padding(self, version: str | None) -> tuple[str, ...]:
        return padding(self.build.version, parse_version(version or ""))
