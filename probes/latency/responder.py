"""What a reflector answers, and what it drops. Pure: bytes and times in, a reply or a named refusal out.

The order of checks keeps a hostile datagram cheap: nothing is remembered of a sender before its packet
has passed the checks that need no memory, the HMAC last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from linkweather.errors import MessageError
from probes.latency import tlv
from probes.latency.limits import Prefixes, Rates, Recent
from probes.latency.packet import (
    BASE_BYTES,
    MAX_BYTES,
    TWAMP_REPLY_BYTES,
    Reply,
    Request,
    decode_request,
    decode_twamp,
    encode_reply,
)
from probes.latency.replay import Replays
from probes.latency.timestamps import ntp_from_ns

STAMP_PORT = 862
_MASK = 0xFFFFFFFF
# The flags of TLVs that are counted, under these names.
_FLAGS: Mapping[int, str] = {
    tlv.UNRECOGNISED: "tlv_unrecognised",
    tlv.MALFORMED: "tlv_malformed",
    tlv.UNVERIFIED: "tlv_unverified",
}

Source = tuple[str, int]
_Session = tuple[str, int, int]  # address, port, SSID


class Responder:
    """A reflector's rules and memory, all of it bounded, the least recently used going first.

    `allow` names the prefixes that are answered, without it everybody is; the short requests of TWAMP-Light, whose
    replies are longer, are answered only there. `rate_per_s` bounds the replies to one source address, in bursts
    of as many. `flagged` counts the replies that carried TLVs with a flag, by flag.
    """

    def __init__(
        self,
        port: int,
        *,
        key: bytes | None = None,
        stateless: bool = False,
        allow: Iterable[str] | None = None,
        max_sessions: int = 65_536,
        rate_per_s: float = 10_000.0,
    ) -> None:
        self.flagged: Counter[str] = Counter()
        self._never_answered = {port, STAMP_PORT}
        self._key = key
        self._stateless = stateless
        self._allow = None if allow is None else Prefixes(allow)
        self._counts: Recent[_Session, int] = Recent(max_sessions)
        self._replays: Recent[_Session, Replays] = Recent(max_sessions)
        self._rates: Rates[str] = Rates(rate_per_s, max_sessions)

    def admit(self, data: bytes, source: Source, now: float, *, truncated: bool = False) -> Request:
        """Check a datagram; the request to answer.

        Raises MessageError: `oversize`, `loop`, `not_allowed`, `short`, `bad_hmac`, `rate`, `replay`.
        """
        if truncated or len(data) > MAX_BYTES:
            raise MessageError("oversize")
        if source[1] in self._never_answered:
            raise MessageError("loop")  # two reflectors would answer one another for ever
        # Who has a bucket was allowed before.
        if self._allow is not None and source[0] not in self._rates and source[0] not in self._allow:
            raise MessageError("not_allowed")
        request = self._decode(data)
        if not self._rates.spend(source[0], now):
            raise MessageError("rate")
        if self._key and not self._stateless:
            self._refuse_replay(request, source)
        return request

    def reply(self, request: Request, source: Source, *, t2_ns: int, t3_ns: int, ttl: int, error: int) -> bytes:
        """The reply to an admitted request, as long as it is (RFC 8762 §4.3), or 41 octets to a shorter one."""
        sequence = request.sequence if self._stateless else self._count(source, request.ssid)
        reply = Reply(  # in its fields' order: by keyword it takes twice as long
            sequence,
            ntp_from_ns(t3_ns),
            error,
            request.ssid,
            ntp_from_ns(t2_ns),
            request.sequence,
            request.timestamp,
            request.error,
            ttl,
            self._extra(request, sequence) if request.extra else b"",
        )
        encoded = encode_reply(reply, self._key)
        if request.short_bytes:
            return encoded[: max(TWAMP_REPLY_BYTES, BASE_BYTES - request.short_bytes)]
        return encoded

    def _decode(self, data: bytes) -> Request:
        if len(data) < BASE_BYTES and self._allow is not None and not self._key:
            return decode_twamp(data)
        return decode_request(data, self._key)

    def _extra(self, request: Request, sequence: int) -> bytes:
        reflected = tlv.reflect(request.extra, key=self._key, heard=request.sequence, told=sequence)
        if reflected.flags:
            self.flagged.update(name for flag, name in _FLAGS.items() if reflected.flags & flag)
        return reflected.extra

    def _count(self, source: Source, ssid: int) -> int:
        """The number of replies so far in this session (RFC 8762 §4.3, stateful)."""
        session = (source[0], source[1], ssid)
        count = self._counts.get(session) or 0
        self._counts.keep(session, (count + 1) & _MASK)
        return count

    def _refuse_replay(self, request: Request, source: Source) -> None:
        session = (source[0], source[1], request.ssid)
        replays = self._replays.get(session)
        if replays is None:
            replays = Replays(request.sequence, request.timestamp)
        elif not replays.accept(request.sequence, request.timestamp):
            raise MessageError("replay")
        self._replays.keep(session, replays)
