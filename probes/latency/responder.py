"""What a reflector answers, and what it drops. Pure: bytes and times in, a reply or a named refusal out.

The order of checks keeps a hostile datagram cheap: nothing is remembered of a sender before its packet
has passed the checks that need no memory, the HMAC last.
"""

from __future__ import annotations

from collections import OrderedDict

from linkweather.errors import MessageError
from probes.latency.packet import MAX_BYTES, Reply, Request, decode_request, encode_reply
from probes.latency.timestamps import ntp_from_ns

STAMP_PORT = 862
_MASK = 0xFFFFFFFF

Source = tuple[str, int]


class Responder:
    """A reflector's rules and memory: sessions and token buckets, both bounded, the least recently used going first.

    `rate_per_s` bounds the replies to one source address, in bursts of as many.
    """

    def __init__(
        self,
        port: int,
        *,
        key: bytes | None = None,
        stateless: bool = False,
        max_sessions: int = 65_536,
        rate_per_s: float = 10_000.0,
    ) -> None:
        self._never_answered = {port, STAMP_PORT}
        self._key = key
        self._stateless = stateless
        self._max_sessions = max_sessions
        self._rate_per_s = rate_per_s
        self._counts: OrderedDict[tuple[str, int, int], int] = OrderedDict()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, data: bytes, source: Source, now: float, *, truncated: bool = False) -> Request:
        """Check a datagram; the request to answer.

        Raises MessageError: `oversize`, `loop`, `short`, `bad_hmac`, `rate`.
        """
        if truncated or len(data) > MAX_BYTES:
            raise MessageError("oversize")
        if source[1] in self._never_answered:
            raise MessageError("loop")  # two reflectors would answer one another for ever
        request = decode_request(data, self._key)
        self._spend(source[0], now)
        return request

    def reply(self, request: Request, source: Source, *, t2_ns: int, t3_ns: int, ttl: int, error: int) -> bytes:
        """The reply to an admitted request, as long as it (RFC 8762 §4.3: extra octets are copied)."""
        sequence = request.sequence if self._stateless else self._count(source, request.ssid)
        return encode_reply(
            Reply(
                sequence=sequence,
                timestamp=ntp_from_ns(t3_ns),
                error=error,
                ssid=request.ssid,
                received=ntp_from_ns(t2_ns),
                sender_sequence=request.sequence,
                sender_timestamp=request.timestamp,
                sender_error=request.error,
                sender_ttl=ttl,
                extra=request.extra,
            ),
            self._key,
        )

    def _count(self, source: Source, ssid: int) -> int:
        """The number of replies so far in this session (RFC 8762 §4.3, stateful)."""
        session = (source[0], source[1], ssid)
        count = self._counts.get(session, 0)
        self._counts[session] = (count + 1) & _MASK
        self._counts.move_to_end(session)
        if len(self._counts) > self._max_sessions:
            self._counts.popitem(last=False)
        return count

    def _spend(self, address: str, now: float) -> None:
        tokens, then = self._buckets.get(address, (self._rate_per_s, now))
        tokens = min(self._rate_per_s, tokens + (now - then) * self._rate_per_s)
        if tokens < 1:
            raise MessageError("rate")
        self._buckets[address] = (tokens - 1, now)
        self._buckets.move_to_end(address)
        if len(self._buckets) > self._max_sessions:
            self._buckets.popitem(last=False)
