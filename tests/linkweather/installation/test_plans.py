"""An installed collector lets sites in, renews their keys and lets them go: over real files, a real server and TLS."""

from __future__ import annotations

import getpass
import grp
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509

from collector.settings import CollectorSettings
from linkweather import settings
from linkweather.cli.root import main
from linkweather.errors import OperatorError
from linkweather.installation import collector_plan, enrol_command, site_plan
from linkweather.installation.collector_plan import CollectorOptions
from linkweather.installation.enrolling import Enrolling, EnrolmentSettings
from linkweather.installation.enrolment_client import fetch
from linkweather.installation.enrolment_server import EnrolmentServer
from linkweather.installation.init_command import own_keys, shipped_units
from linkweather.installation.machine_checks import check_port
from linkweather.installation.performer import Installation
from linkweather.installation.places import Places
from linkweather.installation.site_plan import SiteOptions
from linkweather.installation.steps import Program, Step, TextFile
from linkweather.keys.key_folder import KeyFolder
from linkweather.mesh_methods import load_mesh
from linkweather.settings import load
from probes.settings import ProbeSettings
from tests import servers

ME, GROUP = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name


class Hub:
    """A collector's machine in a folder: its files, without systemd."""

    def __init__(self, root: Path) -> None:
        self.places = Places(
            Path("/opt/x/linkweather"), root / "etc", root / "var", root / "units", ME, GROUP, ME, GROUP
        )
        self.options = CollectorOptions("127.0.0.1", enrolment_port=servers.free_port())
        self.made = root / "installed.json"
        self.ran: list[tuple[str, ...]] = []
        self.places.units.mkdir()
        self.places.config.mkdir()
        self.perform(self.steps())
        self.enrolling = Enrolling(self.places, lambda *argv: self.ran.append(argv))

    def steps(self) -> list[Step]:
        keys = own_keys(self.options, self.places, Installation(self.made))
        return collector_plan.collector_plan(self.options, self.places, keys, shipped_units())

    def perform(self, steps: list[Step]) -> None:
        Installation(self.made).perform([step for step in steps if not isinstance(step, Program)])

    @contextmanager
    def serving(self) -> Iterator[None]:
        folder = self.places.enrolment
        port = load(folder / "enrolment.toml", EnrolmentSettings).port
        with EnrolmentServer(
            "127.0.0.1", port, self.places.enrolments, folder / "server.crt", folder / "server.key"
        ) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path)


def test_what_init_writes_are_settings_keys_and_units_that_fit(hub: Hub) -> None:
    found = load(hub.places.config / "collector.toml", CollectorSettings)
    assert found.mesh == hub.places.mesh
    conf = (hub.places.config / "broker/mosquitto.conf").read_text()
    for line in conf.splitlines():
        name, _, value = line.partition(" ")
        if name.endswith("file"):
            assert Path(value).exists(), line
    unit = (hub.places.units / "linkweather-collector.service").read_text()
    assert f"ExecStart=/opt/x/linkweather collector --config {hub.places.config}/collector.toml" in unit
    assert "/opt/linkweather/bin" not in unit
    for path in (hub.places.config / "collector").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_unit_that_a_package_has_installed_is_not_written_again(hub: Hub) -> None:
    keys = own_keys(hub.options, hub.places, Installation(hub.made))
    packaged = {name: text for name, text in shipped_units().items() if name == "linkweather-broker.service"}
    steps = collector_plan.collector_plan(hub.options, hub.places, keys, packaged)
    written = {step.path.name for step in steps if isinstance(step, TextFile) and step.path.parent == hub.places.units}
    assert written == {"linkweather-broker.service"}


def test_init_again_keeps_keys_and_what_was_changed(hub: Hub) -> None:
    key = (hub.places.authority / "ca.key").read_bytes()
    (hub.places.config / "collector.toml").write_text("# mine\n")
    hub.perform(hub.steps())
    assert (hub.places.authority / "ca.key").read_bytes() == key
    assert (hub.places.config / "collector.toml").read_text() == "# mine\n"


def test_a_site_is_let_in_by_one_line(hub: Hub, tmp_path: Path) -> None:
    token = hub.enrolling.add("north", {"address": "192.0.2.1", "nat": None}, 60.0)
    assert hub.ran == [("systemctl", "start", "linkweather-collector")]
    assert list(load_mesh(hub.places.mesh).sites) == ["north"]
    second = hub.enrolling.add("south", {"address": "192.0.2.2"}, 60.0)
    assert len(hub.ran) == 1
    assert set(hub.enrolling.waiting()) == {"north", "south"}
    with hub.serving():
        bundle = fetch(token)
        assert fetch(second).peers == ("192.0.2.1",)
    assert hub.enrolling.waiting() == {}
    (tmp_path / "site").mkdir()
    places = Places(Path("/x"), tmp_path / "site/etc", tmp_path / "site/var", tmp_path / "site", ME, GROUP, ME, GROUP)
    steps = site_plan.site_plan(bundle, SiteOptions(), places, shipped_units())
    Installation(tmp_path / "site.json").perform([step for step in steps if not isinstance(step, Program)])
    found = load(places.config / "probe.toml", ProbeSettings)
    assert found.site == "north"
    assert found.key_file is not None
    for path in (found.key_file, found.broker.ca_file, found.broker.cert_file, found.broker.key_file):
        assert path is not None
        assert path.stat().st_mode & 0o777 == 0o600
    assert any(isinstance(step, TextFile) and step.path.name == "linkweather-probe.service" for step in steps)


def test_sites_that_are_let_in_and_removed_at_once_lose_no_change_of_one_another(hub: Hub) -> None:
    sites = {f"s{number}": f"192.0.2.{number}" for number in range(1, 7)}
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda site: hub.enrolling.add(site, {"address": sites[site]}, 60.0), sites))
    assert set(load_mesh(hub.places.mesh).sites) == sites.keys() == set(hub.enrolling.waiting())
    assert hub.ran == [("systemctl", "start", "linkweather-collector")]
    with ThreadPoolExecutor() as threads:
        list(threads.map(hub.enrolling.remove, list(sites)[:4]))
    assert set(load_mesh(hub.places.mesh).sites) == {"s5", "s6"}
    assert len(KeyFolder.open(hub.places.authority).revoked()) == 4


def test_renewed_keys_are_others_and_both_count(hub: Hub) -> None:
    with hub.serving():
        first = fetch(hub.enrolling.add("north", {"address": "192.0.2.1"}, 60.0))
        second = fetch(hub.enrolling.renew("north", 60.0))
    assert first.files["site.key"] != second.files["site.key"]
    assert first.files["ca.crt"] == second.files["ca.crt"]
    assert not KeyFolder.open(hub.places.authority).revoked()


def test_a_site_that_is_removed_is_refused_from_then_on(hub: Hub) -> None:
    for number, site in enumerate(("north", "south"), 1):
        hub.enrolling.add(site, {"address": f"192.0.2.{number}"}, 60.0)
    hub.enrolling.remove("north")
    assert list(load_mesh(hub.places.mesh).sites) == ["south"]
    assert set(hub.enrolling.waiting()) == {"south"}
    assert hub.ran[-1] == ("systemctl", "restart", "linkweather-broker")
    revoked = x509.load_pem_x509_crl((hub.places.config / "broker/crl.pem").read_bytes())
    assert len(list(revoked)) == 1


def test_the_brokers_and_the_collectors_own_keys_are_replaced_in_place(hub: Hub) -> None:
    before = (hub.places.config / "broker/broker.key").read_bytes()
    conf = (hub.places.config / "broker/mosquitto.conf").read_bytes()
    hub.enrolling.renew_own("broker")
    assert (hub.places.config / "broker/broker.key").read_bytes() != before
    assert (hub.places.config / "broker/mosquitto.conf").read_bytes() == conf
    hub.enrolling.renew_own("collector")
    assert hub.ran[-1] == ("systemctl", "reload-or-restart", "linkweather-collector")


@pytest.mark.parametrize(
    ("site", "values", "sentence"),
    [
        ("North!", {"address": "192.0.2.1"}, "a site id has"),
        ("collector", {"address": "192.0.2.1"}, "collector"),
        ("north", {"address": "no address"}, "address"),
        ("north", {"address": "192.0.2.1", "latitude": 91.0}, "latitude"),
    ],
)
def test_a_site_that_cannot_be_changes_nothing(hub: Hub, site: str, values: dict[str, object], sentence: str) -> None:
    with pytest.raises(OperatorError, match=sentence):
        hub.enrolling.add(site, values, 60.0)
    assert not hub.places.mesh.exists()
    assert hub.enrolling.waiting() == {}
    assert KeyFolder.open(hub.places.authority).sites == []


@pytest.mark.parametrize("call", ["renew", "remove"])
def test_a_site_that_is_not_there_is_named(hub: Hub, call: str) -> None:
    hub.enrolling.add("north", {"address": "192.0.2.1"}, 60.0)
    with pytest.raises(OperatorError, match="south: is no site of the mesh; these are: north"):
        hub.enrolling.renew("south", 60.0) if call == "renew" else hub.enrolling.remove("south")


@pytest.fixture
def installed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The command finds this hub, and we are root."""
    monkeypatch.setattr(enrol_command, "_enrolling", lambda: hub.enrolling)
    return hub


def test_several_sites_get_a_line_each_by_one_command(installed: Hub) -> None:
    said = CliRunner().invoke(main, ["enrol", "add", "north=192.0.2.1", "south=2001:db8::2", "--lasts", "1m"])
    assert said.exit_code == 0, said.output
    assert said.output.count("linkweather init site lw1-") == 2
    sites = load_mesh(installed.places.mesh).sites
    assert {name: site.address for name, site in sites.items()} == {"north": "192.0.2.1", "south": "2001:db8::2"}


def test_sites_before_one_that_fails_get_their_lines(installed: Hub) -> None:
    said = CliRunner().invoke(main, ["enrol", "add", "north=192.0.2.1", "UP=192.0.2.2", "south=192.0.2.3"])
    assert said.exit_code == 2
    assert said.stdout.count("linkweather init site lw1-") == 1
    assert list(load_mesh(installed.places.mesh).sites) == ["north"]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["north"], "north: say where its peers reach it: north=ADDRESS"),
        (["north=192.0.2.1", "--address", "192.0.2.2"], "--address is for a single SITE"),
        (["north", "south", "--address", "192.0.2.2"], "--address is for a single SITE"),
    ],
)
def test_a_site_has_one_address(argv: list[str], sentence: str) -> None:
    said = CliRunner().invoke(main, ["enrol", "add", *argv])
    assert (said.exit_code, sentence in said.output) == (2, True)


@pytest.mark.parametrize("broken", ["authority/sites/north", "enrolments", "collector/mesh.toml"])
def test_what_stops_an_enrolment_is_a_sentence_and_a_second_try_ends_it(hub: Hub, broken: str) -> None:
    """A folder in a file's place, for a full disk: each of the three that are written in turn."""
    root = hub.places.config if broken.startswith("authority") else hub.places.data
    at = root / broken / "site.key" if broken.startswith("authority") else root / broken
    moved = at.with_name("moved")
    if at.exists():
        at.rename(moved)
        at.write_text("no folder")
    else:
        at.mkdir(parents=True)
        (at / "x").write_text("")
    with pytest.raises(OperatorError, match="cannot be"):
        hub.enrolling.add("north", {"address": "192.0.2.1"}, 60.0)
    shutil.rmtree(at) if at.is_dir() else at.unlink()
    if moved.exists():
        moved.rename(at)
    token = hub.enrolling.add("north", {"address": "192.0.2.1"}, 60.0)
    with hub.serving():
        assert {"ca.crt", "mesh.key", "site.crt", "site.key"} == set(fetch(token).files)


def test_where_no_collector_was_installed_enrol_says_so(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="run `linkweather init collector` on this machine first"):
        Enrolling(Places(Path(), tmp_path, tmp_path), print)


def test_an_address_of_ipv6_has_brackets_in_the_brokers_url(hub: Hub) -> None:
    options = CollectorOptions("2001:db8::1")
    keys = own_keys(options, hub.places, Installation(hub.made))
    texts = [
        step.text for step in collector_plan.collector_plan(options, hub.places, keys, {}) if isinstance(step, TextFile)
    ]
    assert sum("mqtts://[2001:db8::1]:8883" in text for text in texts) == 2


@pytest.mark.parametrize("address", ["mqtts://hub.example.net", "hub example", "192.0.2.256", ""])
def test_what_cannot_be_an_address_is_refused_before_anything_is_made(address: str) -> None:
    said = CliRunner().invoke(main, ["init", "collector", "--address", address])
    assert said.exit_code == 2
    assert said.output == f"Error: --address {address!r}: must be an IPv4 address, an IPv6 address or a host name\n"


def test_a_port_that_another_program_has_is_said_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OperatorError, match=rf"TCP port 127\.0\.0\.1:{port} is taken by `.*`: .*`--api-port`"):
            check_port("TCP", "127.0.0.1", port, "`--api-port`", Path("/etc/linkweather"))
        check_port("TCP", "127.0.0.1", port, "`--api-port`", Path(sys.orig_argv[0]))  # ours, which may be running
    check_port("TCP", "127.0.0.1", port, "`--api-port`", Path("/etc/linkweather"))


def test_one_port_for_two_of_the_collectors_servers_is_refused() -> None:
    ports = ["--broker-port", "8484", "--dry-run"]
    said = CliRunner().invoke(main, ["init", "collector", "--address", "192.0.2.1", *ports])
    assert said.exit_code == 2
    assert said.output == "Error: --broker-port, --enrolment-port and --api-port: must be three ports\n"


def test_a_dry_run_says_what_would_be_done_and_does_nothing() -> None:
    said = CliRunner().invoke(main, ["init", "collector", "--address", "192.0.2.1", "--dry-run"])
    assert said.exit_code == 0
    assert "/etc/linkweather/collector.toml  640 root:linkweather" in said.output
    for made in ("authority  700", "authority/ca.key  600", "authority/issued/broker-SERIAL.crt  600"):
        assert f"/etc/linkweather/{made} root:root" in said.output
    for made in ("broker/broker.key", "collector/collector.key", "enrolment/server.key"):
        assert f"/etc/linkweather/{made}  600 linkweather:linkweather" in said.output
    assert said.output.endswith("  /var/lib/linkweather/installed.json  600 root:root\nnothing was done: --dry-run\n")
    assert not Path("/etc/linkweather/collector.toml").exists()
    assert not Path("/etc/linkweather/authority").exists()


def test_a_dry_run_of_a_site_has_the_files_of_its_bundle(hub: Hub) -> None:
    with hub.serving():
        token = hub.enrolling.add("north", {"address": "192.0.2.1"}, 60.0)
        said = CliRunner().invoke(main, ["init", "site", str(token), "--dry-run"])
        assert said.exit_code == 0
        for name in fetch(token).files:
            assert f"/etc/linkweather/keys/{name}  600 linkweather:linkweather" in said.output


def test_init_asks_for_what_it_needs_and_takes_no_broken_token() -> None:
    said = CliRunner().invoke(main, ["init", "collector", "--dry-run"])
    assert (said.exit_code, said.output) == (
        2,
        "Error: say the name or address by which sites reach this machine: --address\n",
    )
    said = CliRunner().invoke(main, ["init", "site", "lw1-AAAA"])
    assert said.exit_code == 2
    assert "is none, or not whole" in said.output


def test_a_bundle_is_opened_at_one_moment_of_the_authority(hub: Hub) -> None:
    """A certificate of the bundle is the authority's, and begins before now: clocks differ."""
    with hub.serving():
        bundle = fetch(hub.enrolling.add("north", {"address": "192.0.2.1"}, 60.0))
    certificate = x509.load_pem_x509_certificate(bundle.files["site.crt"].encode())
    authority = x509.load_pem_x509_certificate(bundle.files["ca.crt"].encode())
    certificate.verify_directly_issued_by(authority)
    assert certificate.not_valid_before_utc < datetime.now(UTC)
    assert settings.read(hub.places.enrolment / "enrolment.toml")
