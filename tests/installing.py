"""Wheels built from a copy of this checkout, each in a virtual environment that has nothing but what it asks for.

No index is asked: the packages that a wheel requires are links to those of the environment that runs the tests.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
_NOT_SOURCE = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "demo-data")


def build(folder: Path, project: str = ".", prepare: Callable[[Path], None] = lambda _tree: None) -> Path:
    """The wheel of the project in that folder of the checkout, whose copy is first prepared."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=_NOT_SOURCE)
    prepare(tree)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder / "wheels"), str(tree / project)], check=True)
    (wheel,) = (folder / "wheels").glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path, *extras: str) -> Path:
    """The interpreter of a new virtual environment with that wheel and what it requires under those extras."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (own,) = packages.glob("*.dist-info")
    for name in sorted(_required(Distribution.at(own), {"", *extras})):
        _link(distribution(name), packages)
    return python


def _required(of: Distribution, extras: set[str]) -> set[str]:
    """The names of all distributions that `of` needs, and that those need."""
    found: set[str] = set()
    waiting = [(of, extras)]
    while waiting:
        asking, wanted = waiting.pop()
        for requirement in map(Requirement, asking.requires or ()):
            marker = requirement.marker
            applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in wanted)
            name = canonicalize_name(requirement.name)
            if applies and name not in found:
                found.add(name)
                waiting.append((distribution(name), {"", *requirement.extras}))
    return found


def _link(needed: Distribution, packages: Path) -> None:
    """Every file and folder at the top of site-packages that is this distribution's."""
    tops = {file.parts[0] for file in needed.files or ()} - {"..", "__pycache__"}
    for top in sorted(tops):
        (packages / top).symlink_to(Path(str(needed.locate_file(top))))
