"""What a machine must be and have before anything is made on it; each raises OperatorError with what is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from linkweather.cli.machine_diagnosis import of_port
from linkweather.cli.machine_readings import read_port
from linkweather.errors import OperatorError

_SYSTEMD = Path("/run/systemd/system")
# Where a unit with ProtectHome= cannot start a program.
_HOMES = ("/home/", "/root/", "/run/user/")


def need_root() -> None:
    """Refuse any other user."""
    if os.geteuid() != 0:
        raise OperatorError("this changes the machine: run it as root")


def own_command() -> Path:
    """The program as a unit starts it: that of the environment that runs now."""
    command = Path(sys.executable).parent / "linkweather"
    if not command.exists():
        raise OperatorError(f"{command}: is not there: install linkweather in an environment of its own")
    return command


def check_machine(programs: Mapping[str, str], packages: Mapping[str, str] | None = None) -> None:
    """All that is missing, at once: programs by their Debian package, Python packages by the extra that has them."""
    need_root()
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    lacking = [
        f"the Debian package {package}" for name, package in programs.items() if not shutil.which(name, path=path)
    ]
    lacking += [f"pip's {package}" for name, package in (packages or {}).items() if not importlib.util.find_spec(name)]
    if not _SYSTEMD.is_dir():
        lacking.append("systemd, which runs the units (docs/deploying.md has every step by hand)")
    if str(own_command()).startswith(_HOMES):
        lacking.append(f"a place outside of home folders for {own_command()}, such as /opt/linkweather")
    if lacking:
        raise OperatorError(f"this machine lacks {'; '.join(lacking)}")


def check_port(kind: str, address: str, port: int, setting: str, config: Path) -> None:
    """A port that another program has than ours, which read their settings in `config`; `setting` chooses another."""
    for found in of_port("", read_port(kind, address, port), (str(config),), setting):
        raise OperatorError(f"{found.what}: {found.todo}")
