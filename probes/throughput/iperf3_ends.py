"""A site's iperf3 in arranged tests: whichever end of a test the site is, serving or calling."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from linkweather.wire import Answer
from probes.throughput.credentials import Credential, Guard, KeyPair, key_pair
from probes.throughput.iperf3_client import ClientTest, run_client
from probes.throughput.iperf3_output import Build, parse_version
from probes.throughput.iperf3_program import padding, pads_alike
from probes.throughput.iperf3_server import OneOffServer, ServerPlace, serve_once
from probes.throughput.result import Result
from probes.throughput.stop_rule import StopRule
from probes.throughput.time_limits import limit_s

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PeerIperf3:
    """The other end's iperf3: its version, whether it can show a secret when it calls, and the RTT to it.

    `addresses` are those from which it may call; empty: any.
    """

    site: str
    version: str | None
    authentication: bool
    rtt_s: float | None = None
    addresses: Collection[str] = ()


class SiteIperf3:
    """The installed iperf3, `build`; its keys are kept in a folder, and `token` makes each test's secret."""

    def __init__(self, place: ServerPlace, keys_folder: Path, build: Build, token: Callable[[], str]) -> None:
        self.build = build
        self.place = place
        self._keys_folder = keys_folder
        self._token = token
        self._keys: KeyPair | None = None
        self._preparing = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Whether a peer that asks for a test need not wait until the keys are made."""
        return self._keys is not None or not self.build.authentication

    async def prepare(self) -> None:
        """Make the keys before the first peer waits for them. Raises OperatorError where they cannot be kept."""
        async with self._preparing:
            if self.build.authentication and self._keys is None:
                self._keys = await key_pair(self._keys_folder)

    @contextlib.asynccontextmanager
    async def serve(
        self, test_id: str, peer: PeerIperf3, duration_s: float
    ) -> AsyncIterator[tuple[OneOffServer, Answer]]:
        """A server for one test with the peer, and the answer that says where it is and what opens it.

        Raises MeasurementError or OperatorError when there is none.
        """
        await self.prepare()
        seconds = duration_s + limit_s("accept", peer.rtt_s) + limit_s("margin", peer.rtt_s)
        guard = self._guard(peer)
        server_of = partial(serve_once, self.place, self.build, guard=guard, seconds=seconds)
        async with server_of(rtt_s=peer.rtt_s, admitted=peer.addresses) as server:
            offer = Answer(
                id=test_id,
                accepted=True,
                port=server.port,
                secret=guard.secret if guard else None,
                public_key_pem=guard.keys.public_pem if guard else None,
                iperf3=str(self.build),
                until=datetime.now(UTC) + timedelta(seconds=seconds),
            )
            yield server, offer

    async def fetch(self, host: str, offer: Answer, rule: StopRule) -> Result:
        """Call the server that the answer offers, and receive. Raises OperatorError where iperf3 is gone."""
        return await run_client(self._test(host, offer, rule), self.build)

    async def deliver(self, host: str, offer: Answer, rule: StopRule) -> Result:
        """Call the server that the answer offers, and send until it has seen enough. Raises as `fetch`."""
        # The receiving server stops the test. We stop later than it would: an interrupted client is a failure to it.
        longest_s = math.ceil(rule.max_duration_s) + (rule.max_bytes is not None)
        later = StopRule(longest_s, max_bytes=rule.max_bytes, rtt_s=rule.rtt_s)
        return await run_client(self._test(host, offer, later, reverse=False), self.build)

    def can_call(self, version: str | None) -> bool:
        """Whether our iperf3 can show a secret to a server of this version."""
        return not self.build.authentication or pads_alike(parse_version(version or ""), self.build.version)

    def can_serve(self, version: str | None) -> bool:
        """Whether a client of this version can show a secret to our iperf3."""
        return not self.build.authentication or pads_alike(self.build.version, parse_version(version or ""))

    def _test(self, host: str, offer: Answer, rule: StopRule, *, reverse: bool = True) -> ClientTest:
        credential, bind = self._credential(offer), self.place.bind
        return ClientTest(host, offer.port or 0, rule, reverse, bind=bind, credential=credential)

    def _guard(self, peer: PeerIperf3) -> Guard | None:
        if self._keys is None or not peer.authentication:
            log.warning("serving a throughput test to %s without a secret: an iperf3 lacks authentication", peer.site)
            return None
        if not self.can_serve(peer.version):
            log.warning(
                "serving a throughput test to %s without a secret: its iperf3 %s cannot show one to our %s;"
                " install iperf3 3.17 or later here",
                *(peer.site, peer.version, self.build),
            )
            return None
        return Guard(self._keys, self._token(), self._padding(peer.version))

    def _credential(self, offer: Answer) -> Credential | None:
        if offer.secret and offer.public_key_pem:
            return Credential(offer.secret, offer.public_key_pem, self._padding(offer.iperf3))
        return None

    def _padding(self, version: str | None) -> tuple[str, ...]:
        return padding(self.build.version, parse_version(version or ""))
