"""Debian machines booted with systemd in containers, on a bridge: an image, and a machine that runs from it.

Needs root, systemd-nspawn and debootstrap. A machine's changes are in an overlay, so that it can be powered off and on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

BRIDGE = "lwdeploy"
NETWORK = "10.99.0"
# What a person installs before linkweather; all else is linkweather's to name.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "iproute2", "iputils-ping", "procps", "python3", "python3-venv")
_BOOT_S = 180.0  # and to go down: what was deleted goes from the disk then


def run(*argv: str, check: bool = True) -> str:
    """The output of a program, both streams. Raises RuntimeError with it when it fails."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}\n{done.stdout}")
    return done.stdout


def debian(release: str, folder: Path, root: Path | None) -> Path:
    """An image of a release with the packages: a copy of `root`, or what debootstrap makes."""
    image = folder / release
    if (image / "ready").exists():
        return image
    remove(image)
    if root is not None:
        run("cp", "-a", str(root), str(image))
    else:
        run("debootstrap", "--variant=minbase", release, str(image))
    with chrooted(image):
        in_image(image, "apt-get", "update", "-qq")
        in_image(image, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES)
    (image / "ready").touch()
    return image


@contextlib.contextmanager
def chrooted(image: Path) -> Iterator[None]:
    """The file systems that installing needs."""
    places = [image / name for name in ("proc", "dev")]
    for place in places:
        run("mount", "--bind", f"/{place.name}", str(place))
    shutil.copy("/etc/resolv.conf", image / "etc/resolv.conf")
    try:
        yield
    finally:
        for place in places:
            run("umount", str(place))


def in_image(image: Path, *argv: str) -> str:
    """Run a program in an image that is not booted."""
    return run("chroot", str(image), "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *argv)


@contextlib.contextmanager
def scratch(image: Path) -> Iterator[Path]:
    """A copy of an image to work in, which goes again."""
    folder = Path(tempfile.mkdtemp(prefix="linkweather-scratch-"))
    root = _overlay(image, folder)
    try:
        with chrooted(root):
            yield root
    finally:
        run("umount", str(root), check=False)
        remove(folder)


def remove(folder: Path) -> None:
    """Delete a folder, but nothing that is mounted in it: that may be this machine's own /dev."""
    run("rm", "-rf", "--one-file-system", str(folder), check=False)


def _overlay(image: Path, folder: Path) -> Path:
    """Mount an image so that changes of it are in `folder`."""
    for part in ("upper", "work", "root"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    parts = f"lowerdir={image},upperdir={folder}/upper,workdir={folder}/work"
    run("mount", "-t", "overlay", "overlay", "-o", parts, str(folder / "root"))
    return folder / "root"


@contextlib.contextmanager
def bridge() -> Iterator[None]:
    """The network that the machines share."""
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    try:
        run("ip", "link", "set", BRIDGE, "up")
        yield
    finally:
        run("ip", "link", "del", BRIDGE, check=False)


class Machine:
    """One machine; `address` is on the bridge."""

    def __init__(self, name: str, number: int, image: Path, folder: Path) -> None:
        self.name = name
        self.address = f"{NETWORK}.{number}"
        self._image = image
        self._folder = folder / name
        self._root = self._folder / "root"
        self._process: subprocess.Popen[str] | None = None
        self._leader = 0

    def power_on(self) -> None:
        """Boot it and give it its address. Raises RuntimeError when it does not come up."""
        _overlay(self._image, self._folder)
        nspawn = ["systemd-nspawn", "--boot", "--register=no", "--keep-unit", "--quiet", f"--machine={self.name}"]
        with (self._folder / "console").open("w") as console:
            self._process = subprocess.Popen(
                [*nspawn, "-D", str(self._root), f"--network-bridge={BRIDGE}"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                text=True,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )
        self._leader = self._booted(self._process.pid)
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "host0")
        self.run("ip", "link", "set", "host0", "up")

    def power_off(self, *, hard: bool = False) -> None:
        """Shut it down in order, or cut its power."""
        try:
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):  # who stops the trial may have stopped it, too
                    os.kill(self._leader, signal.SIGKILL if hard else signal.SIGRTMIN + 4)
                self._process.wait(_BOOT_S)
                self._process = None
        finally:
            run("umount", str(self._root), check=False)

    def run(self, *argv: str, check: bool = True) -> str:
        """Run a program in it, as root."""
        return run(*self._enter(), *argv, check=check)

    def status(self, command: str) -> tuple[int, str]:
        """The exit status of a shell's command, and what it said."""
        argv = [*self._enter(), "env", "--chdir=/root", "sh", "-c", command]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout

    def _enter(self) -> list[str]:
        return ["nsenter", "-t", str(self._leader), "-a"]

    def _booted(self, nspawn: int) -> int:
        last = time.monotonic() + _BOOT_S
        while time.monotonic() < last:
            children = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()
            if children:
                state = _system_state(int(children[0]))
                if state in {"running", "degraded"}:
                    return int(children[0])
            time.sleep(0.2)
        raise RuntimeError(f"{self.name}: has not come up\n{(self._folder / 'console').read_text()[-2000:]}")


def _system_state(leader: int) -> str:
    return run("nsenter", "-t", str(leader), "-a", "systemctl", "is-system-running", check=False).strip()


def machines_of(images: Sequence[Path], names: Sequence[str], folder: Path) -> dict[str, Machine]:
    """A machine for each name; images take turns."""
    return {name: Machine(name, 10 + number, images[number % len(images)], folder) for number, name in enumerate(names)}
