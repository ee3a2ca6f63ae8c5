"""Network namespaces without names: an open file keeps each alive, so a killed lab leaves none behind."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from linkweather.errors import OperatorError

MTU_BYTES = 9000
# Debian keeps `ip` and `tc` where an ordinary user's PATH does not look.
_ENVIRONMENT = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
_CLONE_NEWNET = 0x40000000
_OWN = "/proc/self/ns/net"
# linux/if_tun.h: _IOW('T', 202, int), and packets without the 4-octet header of the device.
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x0001 | 0x1000
# A TCP flow at 1 Gbit/s and 80 ms has 10 MB under way; the window counts half of the buffer's memory.
_SYSCTLS: Mapping[str, str] = {
    "net/ipv4/tcp_rmem": "4096 131072 67108864",
    "net/ipv4/tcp_wmem": "4096 131072 67108864",
    "net/ipv4/ping_group_range": "0 2147483647",
    # What one test learned about a path must not influence the next one.
    "net/ipv4/tcp_no_metrics_save": "1",
}


class UnavailableError(OperatorError):
    """This machine or user cannot have that kind of network."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace, held by an open file; others open it as `path`."""

    file: int

    @property
    def path(self) -> str:
        """Its path for other processes, as long as this one lives."""
        return f"/proc/{os.getpid()}/fd/{self.file}"


_libc = ctypes.CDLL(None, use_errno=True)


def _checked(status: int, what: str) -> None:
    if status != 0:
        code = ctypes.get_errno()
        raise UnavailableError(f"{what}: {os.strerror(code)}")


def enter(path: str) -> None:
    """Move this thread into a namespace. Raises OSError when it is gone, UnavailableError without the right to."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.setns(file, _CLONE_NEWNET), "a network namespace cannot be entered")
    finally:
        os.close(file)


@contextlib.contextmanager
def inside(namespace: Namespace) -> Iterator[None]:
    """Run a block, and the programs that it starts, inside a namespace. One thread only."""
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(namespace.path)
        yield
    finally:
        _checked(_libc.setns(home, _CLONE_NEWNET), "the network namespace cannot be left")
        os.close(home)


@contextlib.contextmanager
def created() -> Iterator[Namespace]:
    """A new namespace with `lo` up. Raises UnavailableError where namespaces are not allowed."""
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.unshare(_CLONE_NEWNET), "network namespaces cannot be made")
        try:
            namespace = Namespace(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC))
            for name, value in _SYSCTLS.items():
                # A kernel without one of these still emulates, but limits the rate of long links.
                with contextlib.suppress(OSError):
                    Path("/proc/sys", name).write_text(value, encoding="ascii")
        finally:
            _checked(_libc.setns(home, _CLONE_NEWNET), "the network namespace cannot be left")
    finally:
        os.close(home)
    try:
        run_in(namespace, "ip", ["link set lo up"])
        yield namespace
    finally:
        os.close(namespace.file)


def open_tun(namespace: Namespace, name: str) -> int:
    """A TUN device inside the namespace; its non-blocking file stays with us, outside."""
    try:
        with inside(namespace):
            file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
    except OSError as error:
        raise UnavailableError(f"TUN devices cannot be made: {error.strerror}") from None
    return file


def run_in(namespace: Namespace, program: str, lines: Sequence[str], *options: str) -> str:
    """Feed lines to `ip` or `tc` inside a namespace and return what it prints.

    Raises UnavailableError with the program's complaint.
    """
    try:
        with inside(namespace):
            done = subprocess.run(
                [program, *options, "-batch", "-"],
                input="\n".join(lines) + "\n",
                capture_output=True,
                text=True,
                check=False,
                env=_ENVIRONMENT,
            )
    except FileNotFoundError:
        raise UnavailableError(f"the program {program} is missing: install iproute2") from None
    if done.returncode:
        complaint = (done.stderr.strip() or f"status {done.returncode}").splitlines()[0]
        raise UnavailableError(f"{program} fails: {complaint}")
    return done.stdout
