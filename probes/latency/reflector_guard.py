"""What keeps a reflector from abuse: prefixes, token buckets, replay windows, in memories that are bounded. Pure.

Anyone can send to a reflector under any source address, so that each memory of sources and sessions has a bound, and
the least recently used entry goes first.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from ipaddress import ip_network
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


WINDOW = 1024  # a request this far behind the newest may be a replay, and is refused
_MASK = 0xFFFFFFFF
_HALF = 0x80000000
_TIME_MASK = 0xFFFFFFFFFFFFFFFF
_TIME_HALF = 0x8000000000000000
_BITS = (1 << WINDOW) - 1


class Recent(OrderedDict[Key, Value]):
    """A mapping of at most `most` keys: the least recently kept one goes first.

    A dictionary itself, not an object around one, as it is read once or more a packet.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: Key, value: Value) -> None:
        """Keep this, as the most recent."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)


class Rates(Generic[Key]):
    """A token bucket for each of the `most` recent sources: `rate_per_s`, in bursts of as many.

    Of a bucket is kept when it will be full again: one number, one comparison a packet.
    """

    def __init__(self, rate_per_s: float, most: int) -> None:
        self._token_s = 1 / rate_per_s
        self._empty_s = 1 + self._token_s / 2  # rounding must not cost a token
        self._full_s: Recent[Key, float] = Recent(most)

    def __iter__(self) -> Iterator[Key]:
        """The sources that have spent lately."""
        return iter(self._full_s)

    def __contains__(self, source: Key) -> bool:
        """Whether this source has spent lately."""
        return source in self._full_s

    def spent(self, source: Key, now: float) -> float:
        """Which share of its tokens a source has spent."""
        return max(0.0, self._full_s.get(source, now) - now)

    def spend(self, source: Key, now: float) -> bool:
        """Take a token; false when there is none."""
        full_s = self._full_s.get(source)
        if full_s is None or full_s < now:
            full_s = now
        full_s += self._token_s
        if full_s - now > self._empty_s:
            return False
        self._full_s.keep(source, full_s)
        return True


class Prefixes:
    """Prefixes such as 192.0.2.0/24 or 2001:db8::/32, in which addresses are looked up."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._networks: dict[int, list[tuple[int, int]]] = {socket.AF_INET: [], socket.AF_INET6: []}
        for network in map(ip_network, prefixes):
            family = socket.AF_INET if network.version == 4 else socket.AF_INET6
            self._networks[family].append((int(network.netmask), int(network.network_address)))

    def __contains__(self, address: str) -> bool:
        """Whether a numeric address, with or without an interface, is in one of them."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        number = int.from_bytes(socket.inet_pton(family, address.partition("%")[0]))
        return any(number & mask == network for mask, network in self._networks[family])


class Replays:
    """The sequences of one session that were seen: the newest, and a bit for each of those just before it."""

    __slots__ = ("_bits", "_newest", "_timestamp")

    def __init__(self, sequence: int, timestamp: int) -> None:
        self._newest = sequence
        self._timestamp = timestamp
        self._bits = 1

    def accept(self, sequence: int, timestamp: int) -> bool:
        """Remember a request by its sequence and timestamp, as they are on the wire; false for a replay.

        A sender that starts anew counts from the beginning, but its clock has gone on: no replay has a later
        timestamp than any request before.
        """
        later = 0 < (timestamp - self._timestamp) & _TIME_MASK < _TIME_HALF
        ahead = (sequence - self._newest) & _MASK
        if 0 < ahead < _HALF:
            self._newest = sequence
            self._bits = (self._bits << ahead | 1) & _BITS if ahead < WINDOW else 1
        elif not self._fill((self._newest - sequence) & _MASK):
            if not later:
                return False
            self._newest, self._bits = sequence, 1
        if later:
            self._timestamp = timestamp
        return True

    def _fill(self, behind: int) -> bool:
        """Mark a sequence of the window; false when it is marked, or before the window."""
        bit = 1 << behind if behind < WINDOW else 0
        if not bit or self._bits & bit:
            return False
        self._bits |= bit
        return True
