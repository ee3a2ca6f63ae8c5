"""What a reflector answers, and what it drops. Pure: bytes and times in, a reply or a named refusal out.

A reflector is an open service, and must neither amplify nor loop nor keep memory for whoever asks. A reply is never
longer than its request, but to the short requests of TWAMP-Light, which only allow-listed peers may send. Two
reflectors would answer each other for ever, whoever sent one of them a packet in the other's name: so a reply, known by
its form, is never answered, and from the ports where reflectors are, 862 and our own, only what is a request in every
octet. The mesh's other reflectors have their ports likewise. The checks are in the order of their cost, those that need
no memory first and the HMAC before anything is remembered of a sender; what is remembered is bounded. An HMAC does not
stop a replay: a window of sequences does (`reflector_guard`).

An address has so many replies a second, whoever sends in its name. So that a stranger who does that does not use up
what a peer needs, a session of a peer (its address, port and SSID, which a stranger does not know) has a share of its
own from its first reply on.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from linkweather.errors import MessageError
from probes.latency import stamp_packet, stamp_tlvs
from probes.latency.reflector_guard import Prefixes, Rates, Recent, Replays
from probes.latency.stamp_packet import (
    AUTHENTICATED_BYTES,
    BASE_BYTES,
    MAX_BYTES,
    TWAMP_BYTES,
    TWAMP_REPLY_BYTES,
    StampRequest,
)

STAMP_PORT = 862
_STEADY = 0.5  # of a session's tokens: whoever spends more floods
_SESSION_PER_S = 1000.0  # of a peer: ten times what the shortest interval asks for
_MASK = 0xFFFFFFFF
# The flags of TLVs that are counted, under these names.
_FLAGS: Mapping[int, str] = {
    stamp_tlvs.UNRECOGNISED: "tlv_unrecognised",
    stamp_tlvs.MALFORMED: "tlv_malformed",
    stamp_tlvs.UNVERIFIED: "tlv_unverified",
}

Source = tuple[str, int]
_Session = tuple[str, int, bytes]  # address, port, SSID


class StampResponder:
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
        self._own_ports = frozenset({port, STAMP_PORT})
        self._reflectors, self._peers = self._own_ports, frozenset[str]()
        self._keys: tuple[bytes, ...] = (key,) if key else ()
        self.key = key  # the one by which the last request was signed, and its reply will be
        self._stateless = stateless
        self._allow = None if allow is None else Prefixes(allow)
        self._base_bytes = AUTHENTICATED_BYTES if key else BASE_BYTES
        self._least_bytes = self._base_bytes if key or allow is None else TWAMP_BYTES
        self._ssid_of, self._draft = stamp_packet.ssid_of, stamp_packet.draft
        if key:
            self._ssid_of, self._draft = stamp_packet.ssid_of_signed, stamp_packet.draft_signed
        self._counts: Recent[_Session, int] = Recent(max_sessions)
        self._replays: Recent[_Session, Replays] = Recent(max_sessions)
        self._rates: Rates[str] = Rates(rate_per_s, max_sessions)
        self._shares: Rates[_Session] = Rates(_SESSION_PER_S, max_sessions)

    def set_keys(self, keys: Sequence[bytes]) -> None:
        """Accept requests by these keys, at most two, from now on; whoever has one stays in that mode."""
        self._keys = tuple(keys)

    def follow(self, addresses: Collection[str], ports: Collection[int]) -> None:
        """The mesh's other sites are at these addresses, their reflectors at these ports."""
        self._peers, self._reflectors = frozenset(addresses), self._own_ports.union(ports)

    def steady_sessions(self, now: float, most: int) -> list[tuple[int, bytes]]:
        """Port and SSID of the peers' sessions that keep to a pace: of these as many, those with the most replies."""
        steady = (each for each in self._shares if self._shares.spent(each, now) < _STEADY)
        return [session[1:] for session in heapq.nlargest(most, steady, key=lambda each: self._counts.get(each, 0))]

    @property
    def ssid_at(self) -> int:
        """Where a request has its SSID."""
        return stamp_packet.SIGNED_SSID if self._keys else stamp_packet.SSID

    def answer(
        self, data: bytes, source: Source, now: float, received: int, *, ttl: int, error: int, truncated: bool = False
    ) -> bytearray:
        """The reply to a datagram, as long as it is (RFC 8762 §4.3), but for T3, which `stamp_packet.depart` adds.

        `received` is T2 and `error` our clock's error estimate, as they are on the wire.
        Raises MessageError: `oversize`, `not_allowed`, `short`, `loop`, `bad_hmac`, `rate`, `replay`.
        """
        if truncated or len(data) > MAX_BYTES:
            raise MessageError("oversize")
        address, port = source[:2]
        # A source that has a bucket was allowed before.
        if self._allow is not None and address not in self._rates and address not in self._allow:
            raise MessageError("not_allowed")
        if len(data) < self._least_bytes:
            raise MessageError("short")
        authenticated = bool(self._keys)
        if stamp_packet.is_reply(data, authenticated=authenticated) or (
            port in self._reflectors and not stamp_packet.is_plain_request(data, authenticated=authenticated)
        ):
            raise MessageError("loop")
        request = self._verified(data) if authenticated else None
        session = address, port, self._ssid_of(data)
        self._spend(session, now)
        if request and not self._stateless:
            self._refuse_replay(request, session)
        sequence = stamp_packet.sequence_of(data) if self._stateless else self._count(session)
        reply = self._draft(data, session[2], sequence, received, ttl=ttl, error=error)
        if len(data) != self._base_bytes:
            self._fit(reply, data, sequence)
        return reply

    def _verified(self, data: bytes) -> StampRequest:
        """A request that is signed by one of the keys: while a key is changed there are two."""
        self.key = self._keys[0]
        try:
            return stamp_packet.decode_request(data, self.key)
        except MessageError:
            if len(self._keys) == 1:
                raise
        self.key = self._keys[-1]
        return stamp_packet.decode_request(data, self.key)

    def _fit(self, reply: bytearray, data: bytes, sequence: int) -> None:
        """Make a reply as long as its request, or 41 octets to a shorter one."""
        if len(data) < BASE_BYTES:
            del reply[max(TWAMP_REPLY_BYTES, len(data)) :]
            return
        extra = data[self._base_bytes :]
        reflected = stamp_tlvs.reflect(extra, key=self.key, received=stamp_packet.sequence_of(data), replied=sequence)
        if reflected.flags:
            self.flagged.update(name for flag, name in _FLAGS.items() if reflected.flags & flag)
        reply += reflected.extra

    def _spend(self, session: _Session, now: float) -> None:
        reserved = session[0] in self._peers
        if reserved and session in self._shares:
            spent = self._shares.spend(session, now)
        else:
            spent = self._rates.spend(session[0], now)
            if spent and reserved:
                self._shares.spend(session, now)
        if not spent:
            raise MessageError("rate")

    def _count(self, session: _Session) -> int:
        """The number of replies so far in this session (RFC 8762 §4.3, stateful)."""
        count = self._counts.get(session, 0)
        self._counts.keep(session, (count + 1) & _MASK)
        return count

    def _refuse_replay(self, request: StampRequest, session: _Session) -> None:
        replays = self._replays.get(session)
        if replays is None:
            replays = Replays(request.sequence, request.timestamp)
        elif not replays.accept(request.sequence, request.timestamp):
            raise MessageError("replay")
        self._replays.keep(session, replays)
