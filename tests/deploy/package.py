"""The project's own Debian packages for the trial: of a release, and of the one before it; each by `make deb`.

The release before is what `--before COMMIT` says, or these sources once more: with another version, what an upgrade
does to a machine is the same.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.machines import in_image, scratch

ROOT = Path(__file__).parents[2]
VERSIONS = ("7.1.0", "7.2.0")
# What making a package takes, beside a machine's own.
_TOOLS = ("python3-venv", "make")


@dataclass(frozen=True)
class Packages:
    """A release's package, and that of the one before."""

    before: Path
    now: Path


def packages(image: Path, folder: Path, before: str | None) -> Packages:
    """Both packages for the Debian of an image, in `folder`: made there unless they are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Packages(*(folder / f"{image.name}-{version}.deb" for version in VERSIONS))
    if not made.now.exists():
        _build(image, made.now, VERSIONS[1], None)
    if not made.before.exists() and before is not None:
        _build(image, made.before, VERSIONS[0], before)
    elif not made.before.exists():
        _renumber(image, made)
    return made


def _build(image: Path, target: Path, version: str, ref: str | None) -> None:
    with scratch(image) as root:
        _unpack(root / "src", ref)
        in_image(root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *_TOOLS)
        in_image(root, *_settings(version), "make", "--no-print-directory", "-C", "/src", "deb")
        (made,) = (root / "src/dist").glob("*.deb")
        shutil.copy(made, target)


def _renumber(image: Path, made: Packages) -> None:
    """The package with the version before, which its control file and its Python package name."""
    with scratch(image) as root:
        shutil.copy(made.now, root / "now.deb")
        in_image(root, "dpkg-deb", "-R", "/now.deb", "/before")
        (metadata,) = root.glob("before/opt/linkweather/lib/python3*/site-packages/linkweather-*.dist-info/METADATA")
        for file in (metadata, root / "before/DEBIAN/control"):
            file.write_text(file.read_text().replace(f"Version: {VERSIONS[1]}", f"Version: {VERSIONS[0]}", 1))
        in_image(root, "dpkg-deb", "-Zzstd", "-z1", "--root-owner-group", "--build", "/before", "/before.deb")
        shutil.copy(root / "before.deb", made.before)


def _unpack(target: Path, ref: str | None) -> None:
    """The sources of a commit, or of this checkout as it is."""
    target.mkdir()
    if ref is not None:
        tree = subprocess.run(["git", "archive", ref], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(tree)) as archive:
            archive.extraction_filter = getattr(tarfile, "tar_filter", None)  # which Debian 12's Python lacks
            archive.extractall(target)  # noqa: S202 - our own files
        return
    list_files = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    listed = subprocess.run(list_files, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in (name for name in listed.split("\0") if name and (ROOT / name).exists()):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name, follow_symlinks=False)


def _settings(version: str) -> Iterator[str]:
    """What pip needs of this machine's; packed fast, as each is unpacked a few times."""
    yield "env"
    yield from (f"{name}={value}" for name, value in os.environ.items() if name.startswith("PIP_"))
    yield f"SETUPTOOLS_SCM_PRETEND_VERSION={version}"
    yield "DPKG_DEB_COMPRESSOR_LEVEL=1"
