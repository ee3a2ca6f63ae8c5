"""The trial of docs/deploying.md and docs/upgrading.md on booted machines: `make deploy-test`.

    make deploy-test
    .venv/bin/python -m tests.deploy [--release bookworm --release trixie] [--root trixie=/path] [--before COMMIT]

A collector and three sites from the project's own package, a fourth site, keys changed, power cut, upgraded site by
site, one site back, what must be refused, uninstalled. Prints a transcript: every command that a person types, on which
machine, what it said, and how long it took. Exit status: 0 all as documented, 1 not. Needs root, systemd-nspawn
(systemd-container) and debootstrap; some 3 GB and ten minutes a release. `--root RELEASE=PATH` takes a debootstrapped
root instead of making one, `--packages FOLDER` keeps the packages for the next time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.deploy import acts
from tests.deploy.machines import Machine, bridge, chrooted, debian, in_image, machines_of, remove
from tests.deploy.package import Packages, packages
from tests.deploy.trial import Trial

ACTS = (
    acts.set_up,
    acts.change_sites,
    acts.change_keys,
    acts.cut_power,
    acts.upgrade,
    acts.go_back,
    acts.refused,
    acts.uninstall,
)


def main() -> int:
    """The trial for each release."""
    options = _options()
    roots = dict(part.split("=", 1) for part in options.root)
    folder = Path(tempfile.mkdtemp(prefix="linkweather-deploy-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # machines, bridge and mounts go then, too
    try:
        for release in options.release:
            root = roots.get(release)
            image = debian(release, folder, None if root is None else Path(root))
            made = packages(image, options.packages or folder / "packages", options.before)
            _install(image, made)
            _trial(image, folder, options.act)
    except (AssertionError, RuntimeError) as error:
        print(f"\nNOT as documented: {error}", file=sys.stderr)
        return 1
    finally:
        if options.keep:
            print(f"kept: {folder}")
        else:
            remove(folder)
    return 0


def _install(image: Path, made: Packages) -> None:
    """The older package, as docs/deploying.md says, with what it needs by apt: the machines' bridge leads nowhere."""
    shutil.copy(made.before, image / "root/linkweather.deb")
    shutil.copy(made.now, image / "root/linkweather-next.deb")
    # Five machines on one: what they install need not outlive its power cut.
    (image / "etc/dpkg/dpkg.cfg.d/fast").write_text("force-unsafe-io\n")
    begin = time.monotonic()
    with chrooted(image):
        in_image(image, "apt-get", "install", "-y", "-qq", "/root/linkweather.deb")
        in_image(image, "systemctl", "disable", "-q", "mosquitto")
    size = made.before.stat().st_size >> 20
    print(
        f"== {image.name}: apt installed a package of {size} MiB with all it needs in {time.monotonic() - begin:.0f} s"
    )


def _trial(image: Path, folder: Path, names: list[str]) -> None:
    machines = machines_of([image], ("hub", *acts.SITES, "west"), folder / f"{image.name}-machines")
    with bridge(), _running(machines):
        trial = Trial(machines)
        for act in (act for act in ACTS if act.__name__ in names):
            print(f"\n== {image.name}: {act.__name__}", flush=True)
            typed, begin = dict(trial.typed), time.monotonic()
            act(trial)
            counts = {name: count - typed.get(name, 0) for name, count in trial.typed.items()}
            print(f"== {act.__name__}: {time.monotonic() - begin:.0f} s; typed: {counts}", flush=True)
        print(f"== {image.name}: as documented, in {time.monotonic() - trial.began:.0f} s; typed: {trial.typed}")


@contextlib.contextmanager
def _running(machines: dict[str, Machine]) -> Iterator[None]:
    try:
        for machine in machines.values():
            machine.power_on()
        yield
    finally:
        for machine in machines.values():
            with contextlib.suppress(Exception):
                machine.power_off(hard=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="append", help="bookworm or trixie; both without it")
    parser.add_argument("--root", action="append", default=[], metavar="RELEASE=PATH")
    parser.add_argument("--before", metavar="COMMIT", help="what is upgraded from; these sources without it")
    parser.add_argument("--packages", metavar="FOLDER", type=Path, help="where packages are, or are left")
    parser.add_argument("--act", action="append", choices=[act.__name__ for act in ACTS], help="all without it")
    parser.add_argument("--keep", action="store_true", help="keep the machines' files")
    found = parser.parse_args()
    found.act = found.act or [act.__name__ for act in ACTS]
    found.release = found.release or ["bookworm", "trixie"]
    if os.geteuid() != 0 or not shutil.which("systemd-nspawn"):
        sys.exit("deploy: needs root and systemd-nspawn: apt-get install systemd-container debootstrap")
    return found


if __name__ == "__main__":
    sys.exit(main())
