"""How a probe is known again: which bytes stay the same along a flow, and where the probe's number stands.

Routers that share load choose by the fields of a flow, and so these must not differ between the probes of one
trace (Augustin et al., "Avoiding traceroute anomalies with Paris traceroute", 2006). The number stands where no
router looks and every quote has it: the UDP length, the echo sequence (the payload evens out the checksum, which
some routers take for ports), the TCP sequence.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from linkweather.mesh import PathMethod
from probes.path.replies import Quote

UDP_HEADER_BYTES = 8
TCP_BASE = 0x4C570000  # any will do: no connection comes of it
MOST_PROBES = 1 << 16
# method → what is added to a probe's number.
OFFSETS: Mapping[PathMethod, int] = {"udp": UDP_HEADER_BYTES + 2, "icmp": 0, "tcp": TCP_BASE}
# Above what Linux gives to programs that ask for any port (net.ipv4.ip_local_port_range), so that they are free.
_FIRST_KEY, _KEYS = 61_000, 4_000


def first_key(src: str, dst: str) -> int:
    """The source port, or echo identifier, of a link's first flow: the same for every trace, after a restart too."""
    return _FIRST_KEY + zlib.crc32(f"{src} {dst}".encode()) % _KEYS


@dataclass(frozen=True, slots=True)
class Identity:
    """The probes of one trace. `keys` are the flows' source ports or echo identifiers, `port` is where they go."""

    method: PathMethod
    source: str
    destination: str
    keys: Sequence[int]
    port: int

    @property
    def version(self) -> int:
        """Of IP, 4 or 6."""
        return 6 if ":" in self.destination else 4

    def number(self, quote: Quote) -> int | None:
        """Which probe of ours a reply speaks about; None when it is none of ours."""
        ours = (self.method, self.destination) == (quote.method, quote.destination)
        if not ours or quote.key not in self.keys or (self.method != "icmp" and quote.port != self.port):
            return None
        number = quote.value - OFFSETS[self.method]
        return number if 0 <= number < MOST_PROBES else None
