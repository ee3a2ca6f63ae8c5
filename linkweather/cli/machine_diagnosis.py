"""What ails a machine, by what was read and tried there, and what to do: readings in, findings out. Pure."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from linkweather import units
from linkweather.cli.diagnosis import Diagnosis

_NAMED: Final = 3
_LEAST_FREE_RATIO: Final = 0.05  # of a machine's memory
_HEADERS_BYTES: Final[Mapping[int, int]] = {4: 28, 6: 48}  # IP and UDP, by IP's version
_FOLDER_TODO: Final[Mapping[int | None, str]] = {
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "make room on its disk, or raise the quota",
    errno.EROFS: "mount its disk for writing, and look into the kernel's log for why it is not",
    errno.ENOTDIR: "name a folder in `data_dir`",
}


@dataclass(frozen=True, slots=True)
class FolderReading:
    """A data folder: the error of writing into it, the space left, and the files that its owner does not own."""

    path: str
    error: OSError | None = None
    free_bytes: int = 0
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortReading:
    """A port that was tried: the error of binding, and the command line that holds it, empty where it is not seen."""

    name: str
    error: OSError | None = None
    holder: str = ""


@dataclass(frozen=True, slots=True)
class BrokerReading:
    """A connection that was tried: what is wrong with it as a sentence, and what the broker does not let us do."""

    broker: str
    resolved: bool = True
    error: str = ""
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerReading:
    """A peer's address: the version of IP, 0 where it is not resolved, and the MTU towards it, as the kernel has it."""

    site: str
    version: int = 0
    mtu_bytes: int | None = None


def of_folder(subject: str, folder: FolderReading, least_bytes: int) -> Iterator[Diagnosis]:
    """A folder that takes no files, or fewer bytes than are needed, and files that the daemon could not open."""
    if folder.error is not None:
        what = f"nothing can be written in {folder.path}: {folder.error.strerror}"
        todo = _FOLDER_TODO.get(folder.error.errno, "give the folder to the user of the daemon (`chown`)")
        yield Diagnosis(subject, what, todo)
    elif folder.free_bytes < least_bytes:
        what = f"{units.size(folder.free_bytes)} are left in {folder.path}, and {units.size(least_bytes)} may be needed"
        yield Diagnosis(subject, what, "make room on its disk, or name another `data_dir`")
    if folder.foreign:
        what = f"files in {folder.path} belong to another user than the folder: {_some(folder.foreign)}"
        yield Diagnosis(subject, what, "give them to the folder's user (`chown`), and start the daemon as that user")


def of_port(subject: str, port: PortReading, own: Sequence[str], setting: str) -> Iterator[Diagnosis]:
    """A port that cannot be had, and is not held by our own program, which has the words `own` in its command line."""
    if port.error is None or (own and all(word in port.holder for word in own)):
        return
    if port.error.errno == errno.EADDRINUSE:
        holder = f"by `{port.holder}`" if port.holder else "by a program that is not seen from here: look as root"
        yield Diagnosis(subject, f"{port.name} is taken {holder}", f"stop what uses it, or choose another {setting}")
    else:
        what = f"{port.name} cannot be opened: {port.error.strerror}"
        yield Diagnosis(subject, what, f"choose another {setting}, or an address of this machine")


def of_broker(subject: str, reading: BrokerReading) -> Iterator[Diagnosis]:
    """A broker that is not resolved, not reached, refuses us, or lets us do less than is needed."""
    if not reading.resolved:
        what = f"the name of the broker {reading.broker} is not resolved"
        yield Diagnosis(subject, what, "check `broker` in the settings, and DNS")
    elif reading.error:
        refused = "refuses us" in reading.error
        todo = (
            "give the broker this user, or the URL the broker's password" if refused else "start it, or open its port"
        )
        yield Diagnosis(subject, reading.error, todo)
    for complaint in reading.complaints:
        yield Diagnosis(subject, complaint, "give the user its lines in the broker's ACL: see config/mosquitto.acl")


def of_clock(subject: str, *, synchronised: bool | None) -> Iterator[Diagnosis]:
    """A clock that is not synchronised; None is not known."""
    if synchronised is None:
        what = "whether the clock is synchronised is unknown: the kernel does not say"
        yield Diagnosis(subject, what, "allow `adjtimex` where this runs (seccomp, container)")
    elif not synchronised:
        what = "the kernel does not call its clock synchronised: one-way delays are left out"
        yield Diagnosis(subject, what, "synchronise it, by NTP say: `timedatectl set-ntp true`")


def of_memory(subject: str, total_bytes: int, available_bytes: int, limit_bytes: int) -> Iterator[Diagnosis]:
    """A machine with less memory than twice what the journal may take, or with hardly any left."""
    if total_bytes < 2 * limit_bytes:
        what = f"the machine has {units.size(total_bytes)} of memory, and the journal alone may take "
        todo = "lower `memory_limit_mb` in [journal], or use a larger machine"
        yield Diagnosis(subject, what + units.size(limit_bytes), todo)
    if available_bytes < _LEAST_FREE_RATIO * total_bytes:
        what = f"{units.size(available_bytes)} of {units.size(total_bytes)} of memory are left"
        yield Diagnosis(subject, what, "stop what takes it, or use a larger machine")


def of_peers(subject: str, peers: Sequence[PeerReading], packet_bytes: int) -> Iterator[Diagnosis]:
    """Peers whose addresses are not resolved, or to which latency probes of this size are cut into fragments."""
    lost = [peer.site for peer in peers if not peer.version]
    if lost:
        what = f"addresses of {units.count(len(lost), 'peer')} are not resolved ({_some(lost)})"
        yield Diagnosis(subject, what, "check `address` in the mesh, and DNS")
    cut = [one for one in peers if one.mtu_bytes and packet_bytes + _HEADERS_BYTES[one.version] > one.mtu_bytes]
    if cut:
        most = min((one.mtu_bytes or 0) - _HEADERS_BYTES[one.version] for one in cut)
        which = f"{units.count(len(cut), 'peer')} ({_some([one.site for one in cut])})"
        what = f"latency probes of {packet_bytes} bytes are cut into fragments on the way to {which}"
        yield Diagnosis(subject, what, f"lower `packet_bytes` in the mesh's [latency] to {most}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + ", …" * (len(names) > _NAMED)
