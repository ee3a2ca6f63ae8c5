"""`linkweather init` and `linkweather uninstall`: this machine as a collector's or a site's, and back."""

from __future__ import annotations

import re
import shutil
import socket
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import click
from pydantic import TypeAdapter, ValidationError

from linkweather import settings
from linkweather.cli.options import PORT
from linkweather.cli.output import echo
from linkweather.errors import OperatorError
from linkweather.installation import collector_plan, site_plan
from linkweather.installation.collector_plan import CollectorOptions
from linkweather.installation.enrolment_client import fetch
from linkweather.installation.enrolment_token import EnrolmentToken
from linkweather.installation.machine_checks import check_machine, check_port, need_root, own_command
from linkweather.installation.performer import MADE_FILE, Installation
from linkweather.installation.places import Places
from linkweather.installation.site_bundle import SiteBundle
from linkweather.installation.site_plan import SiteOptions
from linkweather.installation.steps import Folder, Step, TextFile
from linkweather.keys.authority import Authority, key_pem, new_key, pem
from linkweather.keys.key_folder import BROKER, COLLECTOR, KeyFolder
from linkweather.mesh.mesh_fields import Address

_STDIN = "-"
_SITE_FILES = ("ca.crt", "mesh.key", "site.crt", "site.key")  # which only the collector has
_SERIAL = re.compile(r"-[0-9a-f]+\.crt$")  # each time another one
_PACKAGED = Path("/usr/lib/systemd/system")
_ANY = "0.0.0.0"  # noqa: S104 - where the daemons listen
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.group()
def init() -> None:
    """Set this machine up: settings, keys, units, started. `linkweather uninstall` takes it back."""


@init.command("collector")
@click.option("--address", metavar="HOST", help="The name or address by which sites reach this machine.")
@click.option("--broker-port", type=PORT, default=8883, show_default=True, help="TCP, for the sites' reports.")
@click.option("--enrolment-port", type=PORT, default=8486, show_default=True, help="TCP, for new sites.")
@click.option("--api-port", type=PORT, default=8484, show_default=True, help="The API's port, on 127.0.0.1.")
@dry_run_option
def init_collector(*, address: str | None, broker_port: int, enrolment_port: int, api_port: int, dry_run: bool) -> None:
    """Run the collector here, with its broker and what gives new sites their keys."""
    if address is None:
        address = _asked("the name or address by which sites reach this machine", _own_address(), "--address")
    if len({broker_port, enrolment_port, api_port}) < 3:
        raise OperatorError("--broker-port, --enrolment-port and --api-port: must be three ports")
    options = CollectorOptions(_checked(address), broker_port, enrolment_port, api_port)
    places = Places(own_command())
    if not dry_run:
        check_machine({"mosquitto": "mosquitto"}, {"duckdb": "linkweather[collector]"})
        check_port("TCP", _ANY, broker_port, "`--broker-port`", places.config)
        check_port("TCP", _ANY, enrolment_port, "`--enrolment-port`", places.config)
        check_port("TCP", "127.0.0.1", api_port, "`--api-port`", places.config)
    authority, keys = _trial_keys(options, places) if dry_run else ([], own_keys(options, places, Installation()))
    steps = collector_plan.collector_plan(options, places, keys, shipped_units())
    if _performed([*authority, *steps], dry_run=dry_run):
        _say(
            "the broker and the enrolment of sites run here; the collector starts with the first site",
            collector_plan.firewall(options),
            "add a site:  linkweather enrol add NAME=ITS-ADDRESS",
        )


@init.command("site")
@click.argument("token")
@click.option(
    "--throughput-ports", type=(PORT, PORT), default=(5201, 5210), show_default=True, help="TCP, for iperf3 servers."
)
@dry_run_option
def init_site(*, token: str, throughput_ports: tuple[int, int], dry_run: bool) -> None:
    """Run a probe here. TOKEN is what `linkweather enrol add` printed at the collector; `-` reads it from stdin."""
    options = SiteOptions(throughput_ports)
    parsed = EnrolmentToken.parse(sys.stdin.readline() if token == _STDIN else token)
    places = Places(own_command())
    if dry_run:
        bundle = SiteBundle(
            site="site", broker="mqtts://…", files=dict.fromkeys(_SITE_FILES, ""), mesh_name="", udp_port=8620, peers=()
        )
        _performed(site_plan.site_plan(bundle, options, places, shipped_units()), dry_run=True)
        return
    check_machine({})
    bundle = fetch(parsed)
    try:
        _check_site(bundle, places)
        _performed(site_plan.site_plan(bundle, options, places, shipped_units()), dry_run=False)
    except OperatorError as error:
        raise OperatorError(
            f"{error}; the token is used: `linkweather enrol renew {bundle.site}` at the collector makes another"
        ) from None
    _say(
        f"{bundle.site} is a site of {bundle.mesh_name}, and its probe runs",
        site_plan.firewall(bundle, options),
        _iperf3_hint(),
    )


@click.command()
@click.option("--data", is_flag=True, help="Remove the record, outboxes and changed settings as well.")
def uninstall(*, data: bool) -> None:
    """Take back what `linkweather init` made here. Data and changed settings stay, unless --data says otherwise."""
    need_root()
    installation = Installation()
    if installation.empty:
        raise OperatorError("`linkweather init` has made nothing on this machine")
    for line in installation.undo(data=data):
        echo(line)


def _check_site(bundle: SiteBundle, places: Places) -> None:
    """Raises OperatorError: this machine is another site already, or a program has the probe's port."""
    file = places.config / "probe.toml"
    try:
        was = tomllib.loads(settings.read(file)).get("site") if Installation().has_made(file) else bundle.site
    except tomllib.TOMLDecodeError as error:
        raise OperatorError(f"{file}: is not TOML: {error}") from None
    if was != bundle.site:
        raise OperatorError(f"this machine is the site {was} already: `linkweather uninstall` ends that")
    check_port("UDP", _ANY, bundle.udp_port, "`port` of the site in the mesh", places.config)


def _checked(host: str) -> str:
    """A name or an address: it stands in tokens, in the broker's URL and in certificates."""
    try:
        return TypeAdapter(Address).validate_python(host)
    except ValidationError:
        raise OperatorError(f"--address {host!r}: must be an IPv4 address, an IPv6 address or a host name") from None


def _performed(steps: Sequence[Step], *, dry_run: bool) -> bool:
    for step in steps:
        echo(str(step))
    if dry_run:
        echo(str(TextFile(MADE_FILE, "", 0o600)))
        echo("nothing was done: --dry-run")
        return False
    Installation().perform(steps)
    return True


def _say(done: str, firewall: Iterable[str], further: str) -> None:
    echo(f"\ndone: {done}\n\nlet in at the firewall:")
    for line in firewall:
        echo(f"  {line}")
    if further:
        echo(f"\n{further}")


def own_keys(options: CollectorOptions, places: Places, installation: Installation) -> Mapping[str, Mapping[str, str]]:
    """The files of broker, collector and enrolment server: those that are there, otherwise new ones."""
    owner = places.owner, places.owner_group
    installation.perform([Folder(places.config, 0o755, *owner), Folder(places.authority, 0o700, *owner, data=True)])
    return _keys(options, places)


def _trial_keys(options: CollectorOptions, places: Places) -> tuple[list[Step], Mapping[str, Mapping[str, str]]]:
    """What a dry run says of keys: the steps that an authority stands for, and the files that a new one would give."""
    with tempfile.TemporaryDirectory() as folder:
        trial = replace(places, config=Path(folder).resolve())
        keys = _keys(options, trial)
        steps: list[Step] = []
        for made in (trial.authority, *sorted(trial.authority.rglob("*"))):
            path = places.config / _SERIAL.sub("-SERIAL.crt", str(made.relative_to(trial.config)))
            owner = places.owner, places.owner_group
            steps.append(Folder(path, 0o700, *owner) if made.is_dir() else TextFile(path, "", 0o600, *owner))
    return steps, keys


def _keys(options: CollectorOptions, places: Places) -> Mapping[str, Mapping[str, str]]:
    now = datetime.now(UTC)
    if (places.authority / "ca.key").exists():
        folder = KeyFolder.open(places.authority)
    else:
        hosts = list(dict.fromkeys([options.host, "localhost", "127.0.0.1"]))
        folder = KeyFolder.create(places.authority, now, broker=hosts, at=places.config / BROKER)
    keys = {name: _texts(folder.folder_of(name)) for name in (BROKER, COLLECTOR)}
    conf = keys[BROKER]["mosquitto.conf"]
    keys[BROKER]["mosquitto.conf"] = collector_plan.broker_text(conf, options.broker_port)
    return {**keys, "enrolment": _texts(places.enrolment, "server.*") or _server_files(options.host, now)}


def _server_files(host: str, now: datetime) -> dict[str, str]:
    """A certificate of its own for the enrolment server: tokens name it by its fingerprint, no authority vouches."""
    key = new_key()
    certificate = Authority.create(now).issue("enrolment", key.public_key(), now, hosts=[host], days=3650)
    return {"server.crt": pem(certificate).decode(), "server.key": key_pem(key).decode()}


def _texts(folder: Path, pattern: str = "*") -> dict[str, str]:
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob(pattern)) if file.is_file()}


def shipped_units() -> dict[str, str]:
    """The unit files of linkweather, but for those that a package of the distribution has installed."""
    units = [file for file in (files("linkweather") / "config" / "systemd").iterdir() if file.name.endswith(".service")]
    return {file.name: file.read_text(encoding="utf-8") for file in units if not (_PACKAGED / file.name).exists()}


def _asked(what: str, default: str, option: str) -> str:
    if not sys.stdin.isatty():
        raise OperatorError(f"say {what}: {option}")
    answer: str = click.prompt(what, default=default)
    return answer


def _own_address() -> str:
    """The address from which this machine reaches others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return socket.getfqdn()
        return str(probe.getsockname()[0])


def _iperf3_hint() -> str:
    return "" if shutil.which("iperf3") else "without iperf3 no throughput is measured:  apt-get install iperf3"
