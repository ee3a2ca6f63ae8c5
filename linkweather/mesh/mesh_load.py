"""What a mesh costs: the packets of its latency probes and the rows of its reports, by group. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from linkweather.mesh.link_tests import LatencyTests
from linkweather.mesh.mesh_model import OF_MESH, Mesh

# Octets of STAMP's payload, with a key, and of the headers of UDP and IPv4 around it.
_PLAIN_BYTES, _AUTHENTICATED_BYTES, _HEADER_BYTES = 44, 112, 28


@dataclass(frozen=True, slots=True)
class MeshLoad:
    """Of a group, or of the links that the mesh itself says how to measure: what their latency tests send a second.

    A probe and its reply are two packets, counted as STAMP's over IPv4; rows are those of latency reports.
    """

    name: str | None
    sites: int
    links: int
    packets_per_s: float
    bytes_per_s: float
    rows_per_s: float


def loads(mesh: Mesh) -> list[MeshLoad]:
    """The mesh's own links, where it has any, then each group."""
    return [load for load in _each(mesh) if load.name is not None or load.links]


def total(mesh: Mesh) -> MeshLoad:
    """The whole mesh."""
    each = [*_each(mesh)]
    return MeshLoad(
        name=None,
        sites=len(mesh.sites),
        links=sum(load.links for load in each),
        packets_per_s=sum(load.packets_per_s for load in each),
        bytes_per_s=sum(load.bytes_per_s for load in each),
        rows_per_s=sum(load.rows_per_s for load in each),
    )


def _each(mesh: Mesh) -> Iterator[MeshLoad]:
    counts = mesh.link_counts()
    yield _load(None, len(mesh.sites), counts.get(OF_MESH, 0), mesh.latency)
    for number, group in enumerate(mesh.groups, 1):
        own = len(mesh.members(group.name))
        yield _load(group.name, own, counts.get(number, 0), mesh.tests_of(number).latency)


def _load(name: str | None, sites: int, links: int, tests: LatencyTests) -> MeshLoad:
    packets_per_s = 2 * links / tests.interval_s
    bytes_per_s = packets_per_s * packet_bytes(tests)
    return MeshLoad(name, sites, links, packets_per_s, bytes_per_s, links / tests.report_interval_s)


def packet_bytes(tests: LatencyTests) -> int:
    """The size of a probe, and of its reply, with the headers of UDP and IPv4."""
    payload = max(tests.packet_bytes, _AUTHENTICATED_BYTES if tests.authenticated else _PLAIN_BYTES)
    return payload + _HEADER_BYTES
