"""`linkweather mesh`: check, show and push the mesh."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from collector.mesh_file import summary
from linkweather import settings
from linkweather.cli.asking import api_option, asking, print_json
from linkweather.cli.options import RATE, json_option
from linkweather.cli.output import echo
from linkweather.cli.site_tables import links_cost_table, sites_cost_table, total_line
from linkweather.cli.terminal import terminal
from linkweather.errors import OperatorError
from linkweather.mesh import Mesh, mesh_load
from linkweather.mesh.mesh_costs import excessive, link_costs, site_costs
from linkweather.mesh.mesh_load import MeshLoad
from linkweather.mesh.patterns import few
from linkweather.mesh_methods import load_mesh
from linkweather.units import count, digits, size

rate_option = click.option(
    "--rate", type=RATE, default="10G", show_default=True, help="What a link carries whose goodput is not known."
)


@click.group()
def mesh() -> None:
    """Check, show and push the mesh: the sites, the links to measure, and how."""


@mesh.command()
@click.argument("file", type=click.Path(path_type=Path))
@rate_option
def check(file: Path, rate: float) -> None:
    """Check a mesh file, without a collector, and say what it costs: by group, a day by site, in all."""
    mesh = load_mesh(file)
    echo(f"{summary(mesh, str(file))}: {_traffic(mesh_load.total(mesh))}")
    for load in mesh_load.loads(mesh) if mesh.groups else ():
        name, what = load.name or "links", f"{count(load.sites, 'site')}, {count(load.links, 'link')}"
        echo(f"  {name}: {what}: {_traffic(load)}")
    _print_costs(mesh, rate, {})
    for sentence in excessive(site_costs(mesh, link_costs(mesh, rate))):
        echo(f"Too much for one site: {sentence}; `mesh push` needs --yes")


def _print_costs(mesh: Mesh, rate_bps: float, measured_bps: Mapping[tuple[str, str], float]) -> None:
    links = link_costs(mesh, rate_bps, measured_bps)
    echo(total_line(links, rate_bps))
    if alone := [site for site in mesh.sites if not mesh.peers(site) and not mesh.sources(site)]:
        echo(f"Without any link: {few(alone)}")
    for table in (sites_cost_table(site_costs(mesh, links)), links_cost_table(links)):
        terminal().print(table)


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
    echo(summary(answer.mesh, answer.mesh.name))
    for name, site in answer.mesh.sites.items():
        echo(f"  {name}  {site.address}  {site.operator or ''}".rstrip())
    if answer.refused:
        echo(f"The mesh file has changed and is refused: {answer.refused}")


@mesh.command()
@click.argument("file", type=click.Path(path_type=Path))
@rate_option
@click.option("--yes", is_flag=True, help="Also where latency tests alone ask too much of a site.")
@api_option
def push(*, file: Path, rate: float, yes: bool, api: str) -> None:
    """Replace the mesh: the collector checks it, writes it to its mesh file and sends it to the sites.

    What it costs a day is said by the goodput that the collector knows of each link.
    """
    text = settings.read(file)
    # Which methods are installed counts where the mesh is applied, at the collector: here only the file is checked.
    wanted = settings.parse(text, Mesh, str(file))
    for sentence in () if yes else excessive(site_costs(wanted, link_costs(wanted, rate))):
        raise OperatorError(f"{file}: too much for the site {sentence}: raise interval_s, or say --yes")
    with asking(api) as client:
        mesh = client.push_mesh(text).mesh
        echo(f"in force: {summary(mesh, str(file))}")
        measured = {(link.src, link.dst): link.goodput_bps for link in client.links() if link.goodput_bps is not None}
        _print_costs(mesh, rate, measured)
