"""`linkweather enrol`: lets sites into the mesh, and out of it again; on the collector's machine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import click

from linkweather import settings
from linkweather.cli.options import FILE, PERIOD, json_option
from linkweather.cli.output import echo, log_to_stderr
from linkweather.errors import OperatorError
from linkweather.installation.enrolling import OWN, Enrolling, EnrolmentSettings
from linkweather.installation.enrolment_token import EnrolmentToken
from linkweather.installation.machine_checks import need_root
from linkweather.installation.places import Places
from linkweather.units import duration

lasts_option = click.option(
    "--lasts", "lasts_s", type=PERIOD, default="1h", show_default=True, help="How long the token counts."
)


@click.group()
def enrol() -> None:
    """Let sites into the mesh: each gets one line to run. On the collector's machine, as root."""


@enrol.command("add")
@click.argument("sites", nargs=-1, required=True, metavar="SITE[=ADDRESS]...")
@click.option("--address", help="Where the peers of a single SITE reach it: an address or a name.")
@click.option("--operator", help="Who runs it.")
@click.option("--region", help="Where it is.")
@click.option("--latitude", type=float, help="In degrees.")
@click.option("--longitude", type=float, help="In degrees.")
@click.option("--nat", is_flag=True, default=None, help="It is behind NAT: it calls, and cannot be called.")
@lasts_option
@json_option
def add(
    *, sites: tuple[str, ...], address: str | None, lasts_s: float, as_json_: bool, **values: str | float | bool | None
) -> None:
    """Add sites to the mesh, make their keys, and print for each the one line to run on its machine."""
    addresses = _addresses(sites, address)
    enrolling = _enrolling()
    tokens: dict[str, EnrolmentToken] = {}
    try:
        for site, where in addresses.items():
            tokens[site] = enrolling.add(site, {"address": where, **values}, lasts_s)
    finally:  # those before one that fails are in the mesh
        _print(tokens, lasts_s, as_json=as_json_)


@enrol.command("renew")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "all_", is_flag=True, help="Every site of the mesh.")
@lasts_option
@json_option
def renew(*, names: tuple[str, ...], all_: bool, lasts_s: float, as_json_: bool) -> None:
    """Give sites, broker or collector another certificate. A site uses the one that it has until it fetches it."""
    if bool(names) == all_:
        raise OperatorError("say whose keys: the names of sites, broker, collector, or --all")
    enrolling = _enrolling()
    own = [name for name in names if name in OWN]
    for name in own:
        enrolling.renew_own(name)
        echo(f"{name} has another certificate, and uses it", err=True)
    sites = enrolling.sites() if all_ else [name for name in names if name not in own]
    _print({site: enrolling.renew(site, lasts_s) for site in sites}, lasts_s, as_json=as_json_)


@enrol.command("remove")
@click.argument("site")
def remove(*, site: str) -> None:
    """Take SITE out of the mesh; the broker refuses it from now on. What it measured stays in the record."""
    _enrolling().remove(site)
    echo(f"{site} is out of the mesh; on its machine:  linkweather uninstall")


@enrol.command("list")
@json_option
def list_(*, as_json_: bool) -> None:
    """Print which sites have not fetched their keys yet."""
    waiting = _enrolling().waiting()
    if as_json_:
        echo(json.dumps({site: round(left) for site, left in waiting.items()}))
    for site, left in () if as_json_ else waiting.items():
        echo(f"{site} has {duration(left)} left")


@enrol.command("serve")
@click.option("--config", type=FILE, required=True, help="enrolment.toml, with server.crt and server.key beside it.")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where the bundles wait.")
def serve(*, config: Path, folder: Path) -> None:
    """Give new sites what waits for them, each once, over TLS."""
    from linkweather.installation.enrolment_server import EnrolmentServer  # noqa: PLC0415 - only here

    log_to_stderr("info")
    found = settings.load(config, EnrolmentSettings)
    cert, key = config.with_name("server.crt"), config.with_name("server.key")
    with EnrolmentServer("", found.port, folder, cert, key) as server:
        server.serve_forever()


def _addresses(sites: tuple[str, ...], address: str | None) -> dict[str, str]:
    """By the site. Raises OperatorError: one without an address, or with two."""
    parts = [text.partition("=") for text in sites]
    if address is not None and (len(parts) > 1 or parts[0][2]):
        raise OperatorError("--address is for a single SITE: several are SITE=ADDRESS each")
    found = {site: where or address or "" for site, _, where in parts}
    for site, where in found.items():
        if not where:
            raise OperatorError(f"{site}: say where its peers reach it: {site}=ADDRESS")
    return found


def _print(tokens: dict[str, EnrolmentToken], lasts_s: float, *, as_json: bool) -> None:
    if as_json:
        echo(json.dumps({site: str(token) for site, token in tokens.items()}))
        return
    for site, token in tokens.items():
        echo(f"on the machine of {site}, as root, within {duration(lasts_s)}:\n\n  linkweather init site {token}\n")


def _enrolling() -> Enrolling:
    need_root()
    return Enrolling(Places(Path()), _run)


def _run(*argv: str) -> None:
    try:
        subprocess.run(argv, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise OperatorError(f"{' '.join(argv)}: failed: {getattr(error, 'stderr', None) or error}") from None
