"""The folder of the authority: its own files, and a folder for each machine with what is to be copied there.

    ca.key ca.crt crl.pem mesh.key   the authority, what it revoked, the mesh's key
    issued/NAME-SERIAL.crt           every certificate that it gave
    broker/                          ca.crt broker.crt broker.key crl.pem mosquitto.conf mosquitto.acl
    collector/                       ca.crt collector.crt collector.key
    sites/NAME/                      ca.crt site.crt site.key mesh.key

Folders are for their owner alone (700), as are files (600). Of two commands that change it, one waits.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from linkweather import atomicfile
from linkweather.errors import OperatorError
from linkweather.keys import mesh_key
from linkweather.keys.authority import (
    Authority,
    PrivateKey,
    hosts_of,
    key_pem,
    name_of,
    new_key,
    pem,
    revoked_in,
    valid,
)
from linkweather.mesh import RESERVED_SITES, SITE_ID
from linkweather.private_folder import make_private

BROKER: Final = "broker"
COLLECTOR: Final = "collector"
RESERVED: Final = RESERVED_SITES.keys()
Parameters = ParamSpec("Parameters")
Changed = TypeVar("Changed")
_FILE_LINE = re.compile(r"^((?:acl_|ca|cert|key|crl)file) (\S+)$", re.MULTILINE)


def _alone(
    change: Callable[Concatenate[KeyFolder, Parameters], Changed],
) -> Callable[Concatenate[KeyFolder, Parameters], Changed]:
    """A method that changes the folder while no other command does."""

    @functools.wraps(change)
    def method(self: KeyFolder, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Changed:
        with atomicfile.changing(self.path):
            return change(self, *args, **kwargs)

    return method


class KeyFolder:
    """An authority with its files. Methods raise OperatorError: a name that cannot be, a file that cannot be used."""

    def __init__(self, path: Path, authority: Authority) -> None:
        self.path = path
        self._authority = authority

    @classmethod
    def create(
        cls, path: Path, now: datetime, *, broker: Sequence[str], collector: Sequence[str] = (), at: Path | None = None
    ) -> KeyFolder:
        """A new authority, with certificates for a broker and a collector under these host names or addresses.

        `at` is the broker's folder on its own machine, which mosquitto.conf names.
        """
        if (path / "ca.key").exists():
            raise OperatorError(f"{path}: has an authority: `linkweather keys rotate` replaces what it gave")
        authority = Authority.create(now)
        folder = cls(path, authority)
        for name in ("", "issued", "sites", BROKER, COLLECTOR):
            make_private(path / name)
            (path / name).chmod(0o700)
        folder._write("ca.crt", pem(authority.certificate))
        folder._write("mesh.key", mesh_key.new_text())
        folder._write_revocations({}, now)
        folder._write_broker(at or (path / BROKER).resolve())
        folder._issue(BROKER, now, broker)
        folder._issue(COLLECTOR, now, collector)
        folder._write("ca.key", key_pem(authority.key))  # the last: only with it the folder is one
        return folder

    @classmethod
    def open(cls, path: Path) -> KeyFolder:
        """The authority of a folder."""
        try:
            key = load_pem_private_key((path / "ca.key").read_bytes(), None)
            certificate = x509.load_pem_x509_certificate((path / "ca.crt").read_bytes())
        except OSError as error:
            raise OperatorError(
                f"{path}: has no authority ({error.strerror}): `linkweather keys init` makes one"
            ) from None
        except ValueError as error:
            raise OperatorError(f"{path}: its authority cannot be read: {error}") from None
        if not isinstance(key, PrivateKey):
            raise OperatorError(f"{path}/ca.key: is no key of this authority")
        return cls(path, Authority(key, certificate))

    @property
    def sites(self) -> list[str]:
        """The sites that have a certificate; it is the last file that is written for one."""
        return sorted(entry.parent.name for entry in (self.path / "sites").glob("*/site.crt"))

    @_alone
    def add_site(self, site: str, now: datetime) -> Path:
        """A key and a certificate for a new site; its folder."""
        if not SITE_ID.fullmatch(site) or site in RESERVED:
            raise OperatorError(f"{site!r}: is no site id; {', '.join(sorted(RESERVED))} are taken")
        folder = self.folder_of(site)
        if site in self.sites:
            raise OperatorError(f"{site}: has a certificate: `linkweather keys rotate {site}` gives it another one")
        make_private(folder)
        self._write(f"sites/{site}/mesh.key", self._read("mesh.key"))
        return self._issue(site, now)

    @_alone
    def rotate(self, name: str, now: datetime) -> Path:
        """Another key and certificate; those before count until they expire, or are revoked. The machine's folder."""
        certificate = self._of_machine(name, "crt")
        if not certificate.exists():
            raise OperatorError(f"{name}: has no certificate here: {', '.join((*sorted(RESERVED), *self.sites))} have")
        return self._issue(name, now, hosts_of(x509.load_pem_x509_certificate(certificate.read_bytes())))

    @_alone
    def revoke(self, name: str, now: datetime) -> int:
        """Revoke all certificates that a name has; how many. What its machine's folder holds is deleted."""
        own = [one for one in self.issued() if name_of(one) == name]
        revoked = self.revoked()
        fresh = {one.serial_number: now for one in valid(own, now) if one.serial_number not in revoked}
        if not fresh:
            raise OperatorError(f"{name}: has no certificate that could be revoked")
        self._write_revocations(revoked | fresh, now)
        folder = self.folder_of(name)
        if name not in RESERVED and folder.exists():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        return len(fresh)

    @_alone
    def rotate_mesh_key(self) -> str:
        """Take the next step to another key for STAMP, in the folders of all sites; a sentence says which it is."""
        text, what = mesh_key.rotated(self._read("mesh.key"))
        for name in ("mesh.key", *(f"sites/{site}/mesh.key" for site in self.sites)):
            self._write(name, text)
        return what

    def issued(self) -> list[x509.Certificate]:
        """Every certificate that was given."""
        return [x509.load_pem_x509_certificate(one.read_bytes()) for one in sorted((self.path / "issued").iterdir())]

    def revoked(self) -> dict[int, datetime]:
        """The serial numbers of those that count no longer."""
        return revoked_in(x509.load_pem_x509_crl((self.path / "crl.pem").read_bytes()))

    def folder_of(self, name: str) -> Path:
        """What is to be copied to a machine."""
        return self.path / name if name in RESERVED else self.path / "sites" / name

    def _of_machine(self, name: str, suffix: str) -> Path:
        return self.folder_of(name) / f"{name if name in RESERVED else 'site'}.{suffix}"

    def _issue(self, name: str, now: datetime, hosts: Sequence[str] = ()) -> Path:
        key = new_key()
        try:
            certificate = self._authority.issue(name, key.public_key(), now, hosts=hosts)
        except ValueError as error:
            raise OperatorError(f"{name}: {', '.join(hosts)}: {error}") from None
        self._write(f"issued/{name}-{certificate.serial_number:x}.crt", pem(certificate))
        folder = self.folder_of(name)
        for file, content in (
            (folder / "ca.crt", pem(self._authority.certificate)),
            (self._of_machine(name, "key"), key_pem(key)),
            (self._of_machine(name, "crt"), pem(certificate)),
        ):
            self._write(str(file.relative_to(self.path)), content)
        return folder

    def _write_revocations(self, revoked: dict[int, datetime], now: datetime) -> None:
        text = pem(self._authority.revocations(revoked, now))
        for name in ("crl.pem", f"{BROKER}/crl.pem"):
            self._write(name, text)

    def _write_broker(self, at: Path) -> None:
        """The configuration that travels with linkweather, with this folder's files."""
        shipped = files("linkweather") / "config"
        text = (shipped / "mosquitto.conf").read_text(encoding="utf-8")
        self._write(f"{BROKER}/mosquitto.conf", _FILE_LINE.sub(lambda line: f"{line[1]} {at / line[2]}", text))
        self._write(f"{BROKER}/mosquitto.acl", (shipped / "mosquitto.acl").read_text(encoding="utf-8"))

    def _read(self, name: str) -> str:
        try:
            return (self.path / name).read_text(encoding="ascii")
        except OSError as error:
            raise OperatorError(f"{self.path / name}: cannot be read: {error.strerror}") from None

    def _write(self, name: str, content: str | bytes) -> None:
        path = self.path / name
        try:
            atomicfile.replace(path, content, mode=0o600)
        except OSError as error:
            raise OperatorError(f"{path}: cannot be written: {error.strerror}") from None
