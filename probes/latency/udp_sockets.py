"""Opens the UDP sockets of session-senders and reflectors, and says in a sentence why one cannot be had."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence

from linkweather.errors import OperatorError

_BUFFER_BYTES = 1 << 21  # a tenth of a second of a flood, which a busy machine needs to act on it
_SO_RCVBUFFORCE = 33  # passes net.core.rmem_max, and needs CAP_NET_ADMIN
_TTL = 255  # RFC 8762 §4.2: a session-sender and a reflector send with 255
# What a machine without a family says when a socket of it is opened or bound.
_NO_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT, errno.EPERM, errno.EACCES})


def families(bind: Sequence[str]) -> dict[socket.AddressFamily, str]:
    """Local addresses by family; without any, the wildcard of each family that this machine has."""
    if not bind:
        wildcards = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104 - a mesh's peers are anywhere
        return {family: address for family, address in wildcards.items() if _has(family, address)}
    chosen: dict[socket.AddressFamily, str] = {}
    for address in bind:
        family = _family(address)
        if family in chosen:
            raise OperatorError(f"bind = {address!r}: give at most one IPv4 and one IPv6 address")
        chosen[family] = address
    return chosen


def open_socket(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    """A non-blocking UDP socket with RX stamps. Raises OperatorError when the address or port cannot be had."""
    try:
        opened = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        raise OperatorError(_sentence(address, port, error)) from None
    try:
        opened.setblocking(False)  # noqa: FBT003 - the standard library's signature
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _TTL)
        else:
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _TTL)
        _enlarge(opened)
        opened.bind((address, port))
    except OSError as error:
        opened.close()
        raise OperatorError(_sentence(address, port, error)) from None
    return opened


def _enlarge(opened: socket.socket) -> None:
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    except OSError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)


def _has(family: socket.AddressFamily, wildcard: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.bind((wildcard, 0))
            return True
    except OSError as error:
        if error.errno in _NO_FAMILY:
            return False
        raise OperatorError(_sentence(wildcard, 0, error)) from None


def _family(address: str) -> socket.AddressFamily:
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        raise OperatorError(f"bind = {address!r}: must be an IPv4 or IPv6 address of this machine") from None
    return socket.AF_INET6 if version == 6 else socket.AF_INET


def _sentence(address: str, port: int, error: OSError) -> str:
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    sentences = {
        errno.EADDRINUSE: f"UDP port {where} is taken: stop what uses it (`ss -ulpn`), or choose another port",
        errno.EADDRNOTAVAIL: f"bind = {address!r}: is no address of this machine (`ip address` lists them)",
        errno.EACCES: f"UDP port {where} needs privileges: choose one above 1023",
    }
    return sentences.get(error.errno or 0, f"UDP port {where} cannot be opened: {error.strerror}")
