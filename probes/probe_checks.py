"""What ails this machine as a site: what `linkweather doctor --probe` reads and tries beside a probe, or before one.

Tried as the user and with the rights of whoever runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from linkweather import settings as files
from linkweather.cli.diagnosis import Diagnosis
from linkweather.cli.machine_diagnosis import PeerReading, of_broker, of_clock, of_folder, of_peers, of_port
from linkweather.cli.machine_readings import read_broker, read_folder, read_port
from linkweather.errors import OperatorError
from linkweather.keys.mesh_key import read_keys
from linkweather.mesh.mesh_fields import STAMP_PORT
from linkweather.mesh.site_mesh import SiteMesh
from linkweather.wire import topics
from probes.latency import clocks
from probes.latency.icmp import IcmpProber
from probes.latency.kernel_timestamps import receive, stamp_received
from probes.latency.udp_sockets import families, open_socket
from probes.path.tracer_process import can_trace
from probes.probe_command import usable_iperf3
from probes.settings import ProbeSettings

_IP_MTU: Final = {socket.AF_INET: (socket.IPPROTO_IP, 14), socket.AF_INET6: (socket.IPPROTO_IPV6, 24)}
_STAMP_LIMIT_S: Final = 1.0
_OWN: Final = ("linkweather", " probe")
_TRACING = "install scapy, and give its probe raw sockets: AmbientCapabilities=CAP_NET_RAW in its unit"
_PINGING = "add the daemon's group to it, or AmbientCapabilities=CAP_NET_RAW to its unit"


def check(config: Path) -> list[Diagnosis]:
    """All that is found. Raises OperatorError for settings that cannot be read."""
    settings = files.load(config, ProbeSettings)
    mesh = _mesh(settings)
    found = [*of_folder(settings.site, read_folder(settings.data_dir), settings.outbox_max_bytes)]
    found += _of_key(settings, mesh)
    found += _of_sockets(settings, mesh)
    found += asyncio.run(_of_others(settings))
    clock = clocks.read()
    found += of_clock(settings.site, synchronised=None if clock is clocks.UNKNOWN else clock.synchronised)
    if mesh is not None:
        peers = [_peer(name, mesh.sites[name].address) for name in mesh.peers(settings.site)]
        found += of_peers(settings.site, peers, mesh.latency.packet_bytes)
    return found


def _mesh(settings: ProbeSettings) -> SiteMesh | None:
    """The mesh of the probe's last run, where it can be read."""
    with contextlib.suppress(OSError, ValidationError):
        mesh = SiteMesh.model_validate_json((settings.data_dir / "mesh.json").read_bytes())
        return mesh if settings.site in mesh.sites else None
    return None


def _of_key(settings: ProbeSettings, mesh: SiteMesh | None) -> Iterator[Diagnosis]:
    path = settings.key_file
    if path is not None:
        yield from _refused(
            settings.site, lambda: read_keys(path), "copy the mesh's key file there, for its user alone"
        )
    elif mesh is not None and mesh.latency.authenticated:
        what = "the mesh asks for authenticated tests, and the settings name no `key_file`"
        yield Diagnosis(settings.site, what, "copy the mesh's key file there, and name it")


def _of_sockets(settings: ProbeSettings, mesh: SiteMesh | None) -> Iterator[Diagnosis]:
    site = settings.site
    try:
        addresses = families(settings.bind)
        stamps = all(_stamps(family, address) for family, address in addresses.items())
    except OperatorError as error:
        yield Diagnosis(site, str(error), "name addresses of this machine in `bind`")
        return
    if not stamps:
        what = "its kernel stamps no packets: RTTs have the scheduler's delays in them"
        yield Diagnosis(site, what, "use a kernel that stamps packets (SO_TIMESTAMPING)")
    port = mesh.sites[site].port if mesh else STAMP_PORT
    for address in addresses.values():
        yield from of_port(site, read_port("UDP", address, port), _OWN, "`port` of the site in the mesh")
    first, last = settings.throughput_ports
    for address in addresses.values():
        tried = (read_port("TCP", address, number) for number in range(first, last + 1))
        taken = next(tried)
        if taken.error is not None and all(one.error is not None for one in tried):
            yield from of_port(site, taken, (), "`throughput_ports`: all others are taken, too")
    if mesh is None or any(mesh.sites[peer].method == "icmp" for peer in mesh.peers(site)):
        family, address = next(iter(addresses.items()))
        yield from _refused(site, lambda: IcmpProber().open(family, address).close(), _PINGING)
    if not can_trace():
        yield Diagnosis(site, "it may not trace paths", _TRACING)


async def _of_others(settings: ProbeSettings) -> Sequence[Diagnosis]:
    """The programs that it needs: iperf3 and a broker."""
    site = settings.site
    _, problem = await usable_iperf3()
    broker = await read_broker(settings.broker.address, f"linkweather-{site}", topics.read_by(site))
    iperf3 = [Diagnosis(site, problem, "install an iperf3 that can: see docs/deploying.md")] if problem else []
    return [*iperf3, *of_broker(site, broker)]


def _refused(site: str, attempt: Callable[[], Any], todo: str) -> Iterator[Diagnosis]:
    try:
        attempt()
    except OperatorError as error:
        yield Diagnosis(site, str(error), todo)


def _stamps(family: socket.AddressFamily, address: str) -> bool:
    """Whether the kernel stamps a datagram that we send ourselves."""
    with open_socket(family, address, 0) as opened:
        stamp_received(opened)
        opened.sendto(b"", opened.getsockname())
        select.select([opened], [], [], _STAMP_LIMIT_S)
        return any(kernel_ns is not None for _, _, kernel_ns, *_ in receive(opened))


def _peer(site: str, address: str) -> PeerReading:
    try:
        family, _, _, _, there = socket.getaddrinfo(address, 9, type=socket.SOCK_DGRAM)[0]
    except socket.gaierror:
        return PeerReading(site)
    version = 6 if family == socket.AF_INET6 else 4
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect(there)
            return PeerReading(site, version, trial.getsockopt(*_IP_MTU[family]))
        except OSError:
            return PeerReading(site, version)
