"""A network address translation of the kernel's: one nftables rule by netlink, for nobody has to have `nft`.

Layouts: linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

from linkweather.lab.namespaces import Namespace, created, inside, run_in

_NETLINK_NETFILTER = 12
_NFTABLES = 10  # NFNL_SUBSYS_NFTABLES
_BEGIN, _END = 16, 17  # NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END
_TABLE, _CHAIN, _RULE = (_NFTABLES << 8 | number for number in (0, 3, 6))  # NFT_MSG_NEW…
_REQUEST, _ACKNOWLEDGE, _CREATE = 0x1, 0x4, 0x400
_HEADER = struct.Struct("=IHHII")
_NESTED = 0x8000
_POSTROUTING, _SOURCE_NAT = 4, 100
_ERROR = 2

OUTSIDE_OF_NAT = "10.99.0.1"
PEER = "10.99.0.2"
INSIDE = "192.168.99.2"


def masquerade(namespace: Namespace) -> None:
    """Let everything that leaves the namespace leave in its own name."""
    hook = _attribute(1, struct.pack(">I", _POSTROUTING)) + _attribute(2, struct.pack(">i", _SOURCE_NAT))
    expression = _attribute(1, b"masq\0") + _attribute(2 | _NESTED, b"")
    named = _attribute(1, b"lab\0")
    chain = named + _attribute(3, b"out\0") + _attribute(4 | _NESTED, hook) + _attribute(7, b"nat\0")
    rule = named + _attribute(2, b"out\0") + _attribute(4 | _NESTED, _attribute(1 | _NESTED, expression))
    batch = [
        _message(_BEGIN, 0, socket.AF_UNSPEC, b"", resource=_NFTABLES),
        *(
            _message(kind, _CREATE | _ACKNOWLEDGE, socket.AF_INET, body)
            for kind, body in ((_TABLE, named), (_CHAIN, chain), (_RULE, rule))
        ),
        _message(_END, 0, socket.AF_UNSPEC, b"", resource=_NFTABLES),
    ]
    with inside(namespace), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as asking:
        asking.settimeout(5)
        asking.send(b"".join(batch))
        for _ in range(3):
            answer = asking.recv(4096)
            _, kind, *_ = _HEADER.unpack_from(answer)
            (code,) = struct.unpack_from("=i", answer, _HEADER.size)
            assert (kind, code) == (_ERROR, 0), f"the kernel refuses to translate addresses: error {-code}"


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _message(kind: int, flags: int, family: int, body: bytes, resource: int = 0) -> bytes:
    rest = struct.pack(">BBH", family, 0, resource) + body
    return _HEADER.pack(_HEADER.size + len(rest), kind, flags | _REQUEST, 1, 0) + rest


@contextlib.contextmanager
def behind_nat() -> Iterator[tuple[Namespace, Namespace]]:
    """A place inside, and one outside of a NAT, which is all that the outside can see."""
    with created() as within, created() as gateway, created() as without:
        run_in(gateway, "ip", [f"link add in type veth peer name uplink netns {within.path}"])
        run_in(gateway, "ip", [f"link add out type veth peer name uplink netns {without.path}"])
        near = ["addr add 192.168.99.1/24 dev in", f"addr add {OUTSIDE_OF_NAT}/24 dev out"]
        run_in(gateway, "ip", [*near, "link set in up", "link set out up"])
        run_in(
            within,
            "ip",
            [f"addr add {INSIDE}/24 dev uplink", "link set uplink up", "route add default via 192.168.99.1"],
        )
        run_in(without, "ip", [f"addr add {PEER}/24 dev uplink", "link set uplink up"])
        with inside(gateway), open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as switch:  # noqa: PTH123 - of this thread's namespace
            switch.write("1")
        masquerade(gateway)
        yield within, without
