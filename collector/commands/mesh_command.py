"""`linkweather mesh`: check, show and push the mesh."""

from __future__ import annotations

from pathlib import Path

import click

from collector.mesh_file import summary
from linkweather import settings
from linkweather.cli.asking import api_option, asking, print_json, token_option
from linkweather.cli.options import json_option
from linkweather.mesh import Mesh, mesh_load
from linkweather.mesh.mesh_load import MeshLoad
from linkweather.mesh_methods import load_mesh
from linkweather.units import count, digits, size


@click.group()
def mesh() -> None:
    """Check, show and push the mesh: the sites, the links to measure, and how."""


@mesh.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a mesh file, without a collector, and say what its latency tests send, by group and in all."""
    mesh = load_mesh(file)
    click.echo(f"{summary(mesh, str(file))}: {_traffic(mesh_load.total(mesh))}")
    for load in mesh_load.loads(mesh) if mesh.groups else ():
        name, what = load.name or "links", f"{count(load.sites, 'site')}, {count(load.links, 'link')}"
        click.echo(f"  {name}: {what}: {_traffic(load)}")


def _traffic(load: MeshLoad) -> str:
    packets = f"{digits(load.packets_per_s)} packets/s, {size(load.bytes_per_s)}/s"
    return f"{packets}, {digits(load.rows_per_s)} rows/s to the collector"


@mesh.command()
@json_option
@api_option
def show(*, as_json_: bool, api: str) -> None:
    """Show the current mesh."""
    with asking(api) as client:
        answer = client.mesh()
    if as_json_:
        print_json(answer.mesh)
        return
    click.echo(summary(answer.mesh, answer.mesh.name))
    for name, site in answer.mesh.sites.items():
        click.echo(f"  {name}  {site.address}  {site.operator or ''}".rstrip())
    if answer.refused:
        click.echo(f"The mesh file has changed and is refused: {answer.refused}")


@mesh.command()
@click.argument("file", type=click.Path(path_type=Path))
@token_option
@api_option
def push(file: Path, token_file: Path | None, api: str) -> None:
    """Replace the mesh: the collector checks it, writes it to its mesh file and sends it to the sites."""
    text = settings.read(file)
    # Which methods are installed counts where the mesh is applied, at the collector: here only the file is checked.
    settings.parse(text, Mesh, str(file))
    with asking(api, token_file) as client:
        click.echo(f"in force: {summary(client.push_mesh(text).mesh, str(file))}")
