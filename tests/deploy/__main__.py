"""The trial of docs/deploying.md: a collector, three sites, a fourth, keys changed, power cut, upgraded, uninstalled.

    make deploy-test
    .venv/bin/python -m tests.deploy [--release bookworm --release trixie] [--root trixie=/path] [--keep]

Prints a transcript: every command that a person types, on which machine, what it said, and how long it took. Exit
status: 0 all as documented, 1 not. Needs root, systemd-nspawn (systemd-container) and debootstrap; some 3 GB and ten
minutes. `--root RELEASE=PATH` takes a debootstrapped root instead of making one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.deploy.machines import NETWORK, Machine, bridge, chrooted, debian, in_image, machines_of

ROOT = Path(__file__).parents[2]
SITES = ("north", "south", "east")
COMMAND = "/opt/linkweather/bin/linkweather"
# What docs/deploying.md lets apt install.
COLLECTOR_PACKAGES = ("mosquitto", "iperf3")
WAIT_S = 180.0


class Trial:
    """The machines, and what was typed on them so far."""

    def __init__(self, machines: dict[str, Machine]) -> None:
        self.machines = machines
        self.typed: dict[str, int] = {}
        self.began = time.monotonic()

    def type(self, name: str, command: str) -> str:
        """Run what a person types, and print it."""
        self.typed[name] = self.typed.get(name, 0) + 1
        begin = time.monotonic()
        print(f"\n{begin - self.began:6.1f} s  {name}# {_shortened(command)}", flush=True)
        said = self.machines[name].run("sh", "-c", command)
        print("".join(f"          {_shortened(line)}\n" for line in said.splitlines()), end="")
        print(f"          ({time.monotonic() - begin:.1f} s)", flush=True)
        return said

    def token(self, command: str) -> str:
        """Type an `enrol` command at the collector; the line that it prints for the site."""
        found = re.search(r"linkweather init site \S+", self.type("hub", command))
        assert found, "no line for the site"
        return found[0]

    def wait(self, what: str, true: Callable[[], bool]) -> None:
        """Wait until something is true. Raises AssertionError when it does not become so."""
        begin = time.monotonic()
        while not true():
            assert time.monotonic() < begin + WAIT_S, f"{what}: not within {WAIT_S:.0f} s\n{self.logs()}"
            time.sleep(0.5)
        print(f"{time.monotonic() - self.began:6.1f} s  {what} (after {time.monotonic() - begin:.1f} s)", flush=True)

    def links(self) -> list[dict[str, object]]:
        """All links as the collector has them; none while it does not answer."""
        said = self.machines["hub"].run("sh", "-c", f"{COMMAND} links --json 2>/dev/null", check=False)
        with contextlib.suppress(ValueError):
            found = json.loads(said)
            rows: list[dict[str, object]] = found if isinstance(found, list) else found["links"]
            return rows
        return []

    def all_fresh(self, *sites: str) -> bool:
        """Whether these sites, and no others, have fresh links both ways."""
        pairs = {(row["src"], row["dst"]) for row in self.links() if row["state"] == "fresh"}
        return pairs == {(a, b) for a in sites for b in sites if a != b}

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        parts = []
        for name, machine in self.machines.items():
            said = machine.run("sh", "-c", "journalctl -q -u 'linkweather-*' -n 15 --no-pager", check=False)
            parts.append(f"--- {name}\n{said}")
        return "".join(parts)


def main() -> int:
    """The trial for each release."""
    options = _options()
    roots = dict(part.split("=", 1) for part in options.root)
    folder = Path(tempfile.mkdtemp(prefix="linkweather-deploy-"))
    try:
        for release in options.release:
            root = roots.get(release)
            _trial(release, folder, None if root is None else Path(root))
    except (AssertionError, RuntimeError) as error:
        print(f"\nNOT as documented: {error}", file=sys.stderr)
        return 1
    finally:
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def _trial(release: str, folder: Path, root: Path | None) -> None:
    image = debian(release, folder, root)
    begin = time.monotonic()
    _install(image)
    print(
        f"== {release}: linkweather, {', '.join(COLLECTOR_PACKAGES)} are installed in {time.monotonic() - begin:.0f} s"
    )
    with bridge(), _running(machines_of([image], ("hub", *SITES, "west"), folder / f"{release}-machines")) as machines:
        trial = Trial(machines)
        _set_up(trial)
        _change_sites(trial)
        _change_keys(trial)
        _cut_power(trial)
        _uninstall(trial)
        print(f"== {release}: as documented, in {time.monotonic() - trial.began:.0f} s; typed: {trial.typed}")


def _set_up(trial: Trial) -> None:
    trial.type("hub", f"linkweather init collector --address {NETWORK}.10")
    for site in SITES:
        line = trial.token(f"linkweather enrol add {site} --address {trial.machines[site].address}")
        trial.type(site, line)
    trial.wait("all 6 links are fresh", lambda: trial.all_fresh(*SITES))
    trial.type("hub", "linkweather links")
    trial.type("hub", "linkweather doctor")


def _change_sites(trial: Trial) -> None:
    trial.type("west", trial.token(f"linkweather enrol add west --address {trial.machines['west'].address}"))
    trial.wait("a fourth site has joined", lambda: trial.all_fresh(*SITES, "west"))
    trial.type("hub", "linkweather enrol remove east")
    trial.type("east", "linkweather uninstall --data")
    trial.wait("one has left", lambda: trial.all_fresh("north", "south", "west"))


def _change_keys(trial: Trial) -> None:
    for _ in range(3):  # the next key is accepted; it signs; the one before is gone
        trial.type("hub", "linkweather keys rotate --mesh-key --folder /etc/linkweather/authority")
        said = trial.type("hub", "linkweather enrol renew --all")
        for site, line in re.findall(r"on the machine of (\S+), .*?(linkweather init site \S+)", said, re.DOTALL):
            trial.type(site, line)
    trial.type("hub", "linkweather enrol renew broker collector")
    trial.wait("all keys and certificates are others", lambda: trial.all_fresh("north", "south", "west"))


def _cut_power(trial: Trial) -> None:
    for machine in trial.machines.values():
        machine.power_off(hard=True)
    print(f"{time.monotonic() - trial.began:6.1f} s  the power of all machines is cut, and comes back", flush=True)
    for machine in trial.machines.values():
        machine.power_on()
    trial.wait("all links are fresh again", lambda: trial.all_fresh("north", "south", "west"))
    trial.type("hub", "linkweather ledger")


def _uninstall(trial: Trial) -> None:
    for name in ("north", "south", "west", "hub"):
        trial.type(name, "linkweather uninstall --data")
        left = trial.machines[name].run(
            "sh",
            "-c",
            "ls -d /etc/linkweather /var/lib/linkweather 2>/dev/null; "
            "systemctl list-unit-files 'linkweather*' --no-legend; true",
        )
        assert not left.strip(), f"{name}: still has {left}"


def _install(image: Path) -> None:
    """As docs/deploying.md says: a virtual environment in /opt, the command on PATH, Debian's packages."""
    if (image / "opt/linkweather").exists():
        shutil.rmtree(image / "opt/linkweather")
    with tempfile.TemporaryDirectory(dir=image / "root") as folder, chrooted(image):
        inside = f"/root/{Path(folder).name}"
        pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, str(ROOT)]
        subprocess.run(pip, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        shutil.copy(ROOT / "constraints.txt", folder)
        settings = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
        in_image(image, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *COLLECTOR_PACKAGES)
        in_image(image, "python3", "-m", "venv", "/opt/linkweather")
        install = [*settings, "/opt/linkweather/bin/pip", "install", "-q", "-c", f"{inside}/constraints.txt"]
        in_image(image, *install, f"linkweather[collector,page] @ file://{inside}/{wheel.name}")
        in_image(image, "ln", "-sf", COMMAND, "/usr/local/bin/linkweather")
        in_image(image, "sh", "-c", "systemctl disable mosquitto 2>/dev/null; true")


@contextlib.contextmanager
def _running(machines: dict[str, Machine]) -> Iterator[dict[str, Machine]]:
    try:
        for machine in machines.values():
            machine.power_on()
        yield machines
    finally:
        for machine in machines.values():
            with contextlib.suppress(Exception):
                machine.power_off(hard=True)


def _shortened(line: str) -> str:
    """A token is long and secret."""
    return re.sub(r"(lw1-\w{6})[\w-]+", r"\1…", line)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="append", help="bookworm or trixie; both without it")
    parser.add_argument("--root", action="append", default=[], metavar="RELEASE=PATH")
    parser.add_argument("--keep", action="store_true", help="keep the machines' files")
    found = parser.parse_args()
    found.release = found.release or ["bookworm", "trixie"]
    if os.geteuid() != 0 or not shutil.which("systemd-nspawn"):
        sys.exit("deploy: needs root and systemd-nspawn: apt-get install systemd-container debootstrap")
    return found


if __name__ == "__main__":
    sys.exit(main())
