"""Keeps all but one peer's addresses from an iperf3 server, in the kernel, at the socket that it listens on.

The server's secret keeps strangers from a test, but not from the server: a connection that says nothing holds a 3.12
for as long as it lives, and the invited peer finds it busy. A forwarder of ours in front would be measured with the
path. So the kernel drops what comes from elsewhere, before TCP answers it. The socket is the child's: `pidfd_getfd(2)`
lends it to us, its parent (Linux 5.6), and a classic BPF program of a few instructions is attached to it
(`SO_ATTACH_FILTER`, socket(7)); the connections that it accepts inherit the program. Recent kernels (6.18 does) want
CAP_NET_ADMIN for that on TCP; and a sandbox may forbid either call. What then remains is the secret, and that a
connection does not reach iperf3 before it has sent something (`TCP_DEFER_ACCEPT`, tcp(7)): a stranger must speak its
protocol to get hold of a server, and the server says so by the address that it accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import socket
import struct
import sys
from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from linkweather.mesh import Site

log = logging.getLogger(__name__)

MOST_ADDRESSES: Final = 16
_SYS_PIDFD_GETFD: Final = 438  # of every architecture
_SO_ATTACH_FILTER: Final = 26
# linux/filter.h, linux/bpf_common.h
_RESOLVING_S: Final = 1.0
_ESTABLISHED: Final = "01"  # include/net/tcp_states.h
_DEFER_S: Final = 60
_NET_OFFSET: Final = 0x100000000 - 0x100000  # SKF_NET_OFF: from the IP header on
_LOAD_BYTE, _LOAD_WORD, _AND, _JUMP_EQUAL, _RETURN = 0x30, 0x20, 0x54, 0x15, 0x06
_PASS, _DROP = 0xFFFFFFFF, 0

Instruction = tuple[int, int, int, int]


def program(addresses: Collection[str]) -> list[Instruction]:
    """The BPF program that passes packets from these addresses; what is no address passes nothing."""
    found = [ip_address(each) for each in sorted(addresses)[:MOST_ADDRESSES] if is_address(each)]
    blocks = [_block(each) for each in found]
    return [*(step for block in blocks for step in block), (_RETURN, 0, 0, _DROP)]


def is_among(address: str, admitted: Collection[str]) -> bool:
    """Whether an address is one of these, as IPv4 or mapped to IPv6."""
    return address.removeprefix("::ffff:") in admitted


def strangers(port: int, admitted: Collection[str]) -> list[str]:
    """The addresses that have a connection to a local port now and are not among these (proc_net_tcp in the kernel)."""
    found: dict[str, None] = {}
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                _, local, remote, state, *_ = line.split()
                if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == port:
                    found[_written(remote.partition(":")[0])] = None
    return [each for each in found if not is_among(each, admitted)]


def _written(words: str) -> str:
    """An address of /proc/net: words of 32 bits, each in the host's order."""
    packed = b"".join(int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8))
    address = ip_address(packed)
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_address(text: str) -> bool:
    """Whether this is an IP address, and no name."""
    with contextlib.suppress(ValueError):
        return bool(ip_address(text))
    return False


def _block(address: IPv4Address | IPv6Address) -> list[Instruction]:
    """Return `_PASS` for a packet from the address, else go on behind the block."""
    words = struct.unpack(f"!{len(address.packed) // 4}I", address.packed)
    first = 12 if address.version == 4 else 8  # the source address in the header, RFC 791 §3.1 and RFC 8200 §3
    loads = [(_LOAD_WORD, 0, 0, _NET_OFFSET + first + 4 * number) for number in range(len(words))]
    tests: list[tuple[Sequence[Instruction], int]] = [
        ([(_LOAD_BYTE, 0, 0, _NET_OFFSET), (_AND, 0, 0, 0xF0)], address.version << 4),
        *(([load], word) for load, word in zip(loads, words, strict=True)),
    ]
    block: list[Instruction] = [(_RETURN, 0, 0, _PASS)]
    for before, value in reversed(tests):
        block = [*before, (_JUMP_EQUAL, 0, len(block), value), *block]
    return block


def admit_only(pid: int, port: int, addresses: Collection[str]) -> bool:
    """Let only these addresses reach what the process listens on; whether that was possible. None: any may."""
    attached = False
    try:
        for each in _sockets(pid):
            if _listens(each, port):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER_S)
                if addresses:
                    _attach(each, program(addresses))
                    attached = True
    except OSError as error:
        log.info("no filter for the iperf3 server of a test (%s): its secret alone keeps strangers out", error)
    return attached


def _sockets(pid: int) -> Iterator[socket.socket]:
    pidfd = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            if str(entry.readlink()).startswith("socket:"):
                with socket.socket(fileno=_lent(pidfd, int(entry.name))) as each:
                    yield each
    finally:
        os.close(pidfd)


def _lent(pidfd: int, number: int) -> int:
    call = ctypes.CDLL(None, use_errno=True).syscall
    descriptor = int(call(_SYS_PIDFD_GETFD, pidfd, number, 0))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def _listens(each: socket.socket, port: int) -> bool:
    is_tcp = each.family in {socket.AF_INET, socket.AF_INET6} and each.type == socket.SOCK_STREAM
    return is_tcp and bool(each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) and each.getsockname()[1] == port


def _attach(each: socket.socket, steps: Sequence[Instruction]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(steps), ctypes.addressof(code)))


async def resolved(host: str) -> frozenset[str]:
    """The addresses that a name has now; none where it has none, or a test would wait for its resolver."""
    try:
        async with asyncio.timeout(_RESOLVING_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(str(address[0]) for *_, address in found)


async def admitted_addresses(site: Site | None, named: Collection[str]) -> frozenset[str]:
    """The addresses from which a peer may call; none: any, as behind NAT, or where it names none."""
    if site is None or site.nat or not named:
        return frozenset()
    return await resolved(site.address) | frozenset(named)


async def local_addresses(host: str, bind: str | None) -> tuple[str, ...]:
    """The addresses from which we call a host, by our routes: a NAT on the way is not seen."""
    found = {bind} if bind is not None else {_towards(each) for each in await resolved(host)}
    return tuple(sorted(each for each in found if each is not None))[:MOST_ADDRESSES]


def _towards(address: str) -> str | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.connect((address, 9))  # sends nothing
        return str(asking.getsockname()[0])
    return None
