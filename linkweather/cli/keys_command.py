"""`linkweather keys`: makes and revokes the certificates of sites, collector and broker, and the mesh's key."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from linkweather.cli.options import FILE
from linkweather.cli.output import echo
from linkweather.errors import OperatorError
from linkweather.keys.key_folder import BROKER, COLLECTOR, KeyFolder

folder_option = click.option(
    "--folder", type=FILE, default="keys", show_default=True, help="The authority's folder, for its owner alone."
)


@click.group()
def keys() -> None:
    """Say who is who: a certificate for each site, the collector and the broker, and the mesh's key for STAMP."""


@keys.command()
@folder_option
@click.option(
    "--broker-host", multiple=True, required=True, metavar="NAME", help="A name or address by which clients reach it."
)
@click.option("--collector-host", multiple=True, metavar="NAME", help="The same of the collector's API, for TLS there.")
@click.option("--broker-folder", type=FILE, help="Where the broker's files will be on its machine.")
def init(
    *, folder: Path, broker_host: tuple[str, ...], collector_host: tuple[str, ...], broker_folder: Path | None
) -> None:
    """Make an authority, and what broker and collector need: certificates, mosquitto's configuration and rules."""
    made = KeyFolder.create(folder, _now(), broker=broker_host, collector=collector_host, at=broker_folder)
    for name in (BROKER, COLLECTOR):
        echo(f"{made.folder_of(name)}: copy it to the machine of the {name}")
    echo(f"{folder}/ca.key signs for all: keep this folder where no site can reach it")


@keys.command()
@click.argument("names", nargs=-1, required=True, metavar="SITE...")
@folder_option
def site(*, names: tuple[str, ...], folder: Path) -> None:
    """Make a key and a certificate for each SITE, whose common name is the site's id."""
    opened = KeyFolder.open(folder)
    for name in names:
        echo(f"{opened.add_site(name, _now())}: copy it to {name}, as /etc/linkweather/keys")


@keys.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--mesh-key", is_flag=True, help="Take the next of three steps to another key for STAMP.")
@folder_option
def rotate(*, names: tuple[str, ...], mesh_key: bool, folder: Path) -> None:
    """Replace the keys of sites, `collector` or `broker`, or the mesh's key for STAMP.

    Copy what is named to its machine and send its daemon SIGHUP (`systemctl reload`). A certificate before counts until
    it expires, or `linkweather keys revoke`. The mesh's key takes three steps, so that no probe is lost: every site has
    the files of one before the next.
    """
    if bool(names) == mesh_key:
        raise OperatorError("NAME...: name what gets another certificate, or say --mesh-key")
    opened = KeyFolder.open(folder)
    for name in names:
        echo(f"{opened.rotate(name, _now())}: copy it to {name}, and reload there")
    if mesh_key:
        what = opened.rotate_mesh_key()
        echo(f"{what}: copy each {folder}/sites/SITE/mesh.key to its site, and reload there before the next step")


@keys.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@folder_option
def revoke(*, names: tuple[str, ...], folder: Path) -> None:
    """Revoke all certificates of each NAME, a site or `collector`."""
    opened = KeyFolder.open(folder)
    for name in names:
        echo(f"{name}: {opened.revoke(name, _now())} revoked")
    echo(f"copy {folder}/{BROKER}/crl.pem to the broker and restart it: what is connected stays so until then")
    echo("a site that had the mesh's key still has it: `linkweather keys rotate --mesh-key` changes it")


def _now() -> datetime:
    return datetime.now(UTC)
