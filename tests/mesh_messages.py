"""What a collector publishes of a mesh, for tests that stand in for one."""

from __future__ import annotations

from collections.abc import Iterator

from linkweather.mesh import Mesh
from linkweather.mesh.site_mesh import SiteMeshes
from linkweather.wire import encode, topics
from linkweather.wire.mesh_parts import MeshHead, PublishedMesh, version_of


def mesh_messages(
    mesh: Mesh, *, journal: str | None = None, replaces: tuple[str, ...] = ()
) -> Iterator[tuple[str, bytes]]:
    """Topics and payloads, all retained."""
    yield topics.MESH, encode(PublishedMesh(name=mesh.name, journal=journal, replaces=replaces))
    meshes = SiteMeshes(mesh)
    for site in mesh.sites:
        yield from part_messages(site, meshes.encoded(site), journal=journal, replaces=replaces)


def part_messages(
    site: str, payload: bytes, *, journal: str | None = None, replaces: tuple[str, ...] = ()
) -> Iterator[tuple[str, bytes]]:
    """Those of one site, whatever its part says."""
    yield topics.part(site, 0), payload
    yield (
        topics.mesh(site),
        encode(MeshHead(journal=journal, replaces=replaces, version=version_of(payload), parts=1)),
    )
