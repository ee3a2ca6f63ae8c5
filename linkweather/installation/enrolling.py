"""What `linkweather enrol` does on the collector's machine: keys, the mesh file and the bundle of a new site.

The bundle comes first and the mesh last: whatever stops it in between, a second try with `renew` finishes it, and no
site is in the mesh that could not get its keys.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import Any

from linkweather import atomicfile, settings
from linkweather.errors import OperatorError
from linkweather.installation import mesh_edit
from linkweather.installation.enrolment_token import EnrolmentToken
from linkweather.installation.places import Places
from linkweather.installation.site_bundle import Enrolments, SiteBundle, seal
from linkweather.keys.key_folder import BROKER, COLLECTOR, RESERVED, KeyFolder
from linkweather.mesh import Mesh, Port
from linkweather.mesh.mesh_fields import Settings
from linkweather.mesh_methods import parse_mesh


class EnrolmentSettings(Settings):
    """Where new sites fetch their bundles, and which broker these name: enrolment.toml."""

    host: str
    port: Port
    broker: str


class Enrolling:
    """The enrolments of an installed collector. Methods raise OperatorError."""

    def __init__(self, places: Places, run: Callable[..., None]) -> None:
        """`run` runs a command that must succeed: it starts the collector, and lets the broker read its files."""
        file = places.enrolment / "enrolment.toml"
        if not file.exists():
            raise OperatorError(f"{file}: there is none: run `linkweather init collector` on this machine first")
        self._places = places
        self._settings = settings.load(file, EnrolmentSettings)
        self._run = run

    def add(self, site: str, values: Mapping[str, Any], lasts_s: float) -> EnrolmentToken:
        """A new site: its keys, its bundle, its place in the mesh; the collector runs from the first one on."""
        with self._changing_mesh():
            text = self._mesh_text()
            changed = mesh_edit.with_site(text, site, values)
            mesh = parse_mesh(changed, str(self._places.mesh))
            keys = self._keys()
            if site not in keys.sites:
                keys.add_site(site, datetime.now(UTC))
            token = self._wrap(site, keys, mesh, lasts_s)
            self._write_mesh(changed)
        if text is None:
            self._run("systemctl", "start", "linkweather-collector")
        return token

    def renew(self, site: str, lasts_s: float) -> EnrolmentToken:
        """Another certificate, and a token to fetch it with; the one before counts until it expires."""
        mesh = self._mesh()
        if site not in mesh.sites:
            raise OperatorError(f"{site}: is no site of the mesh; these are: {', '.join(mesh.sites)}")
        keys = self._keys()
        if site in keys.sites:
            keys.rotate(site, datetime.now(UTC))
        else:
            keys.add_site(site, datetime.now(UTC))
        return self._wrap(site, keys, mesh, lasts_s)

    def renew_own(self, name: str) -> None:
        """Another certificate of the broker or the collector, which is used at once."""
        keys = self._keys()
        keys.rotate(name, datetime.now(UTC))
        self._install(keys, name)

    def remove(self, site: str) -> None:
        """Take a site out of the mesh and let the broker refuse it; its record stays."""
        with self._changing_mesh():
            text = self._mesh_text()
            if text is None:
                raise OperatorError(f"{site}: the mesh has no sites yet")
            changed = mesh_edit.without_site(text, site)
            parse_mesh(changed, str(self._places.mesh))
            self._write_mesh(changed)
        self._waiting().forget(site)
        keys = self._keys()
        keys.revoke(site, datetime.now(UTC))
        self._install(keys, BROKER)

    def waiting(self) -> dict[str, float]:
        """The sites that have not fetched their bundle yet, with the seconds that are left."""
        return self._waiting().sites(time.time())

    def sites(self) -> list[str]:
        """The sites of the mesh."""
        return list(self._mesh().sites)

    def _wrap(self, site: str, keys: KeyFolder, mesh: Mesh, lasts_s: float) -> EnrolmentToken:
        files = {file.name: file.read_text(encoding="ascii") for file in sorted(keys.folder_of(site).iterdir())}
        others = tuple(its.address for name, its in mesh.sites.items() if name != site)
        bundle = SiteBundle(
            site=site,
            broker=self._settings.broker,
            files=files,
            mesh_name=mesh.name,
            udp_port=mesh.sites[site].port,
            peers=others,
        )
        certificate = (self._places.enrolment / "server.crt").read_text(encoding="ascii")
        fingerprint = sha256(PEM_cert_to_DER_cert(certificate)).digest()
        token = EnrolmentToken.new(fingerprint, self._settings.host, self._settings.port)
        try:
            path = self._waiting().add(token.id, site, seal(bundle, token.secret), until_s=time.time() + lasts_s)
        except OSError as error:
            raise _unwritten(self._places.enrolments, error) from None
        self._give(path)
        return token

    def _install(self, keys: KeyFolder, name: str) -> None:
        """Copy what the authority has for the broker or the collector to where they read it."""
        for source in keys.folder_of(name).iterdir():
            target = self._places.config / name / source.name
            if target.exists() and source.suffix in {".conf", ".acl"}:
                continue  # the operator's to change
            self._replace(target, source.read_bytes(), 0o600)
        self._run("systemctl", "restart" if name == BROKER else "reload-or-restart", f"linkweather-{name}")

    def _keys(self) -> KeyFolder:
        return KeyFolder.open(self._places.authority)

    def _waiting(self) -> Enrolments:
        return Enrolments(self._places.enrolments)

    def _mesh(self) -> Mesh:
        text = self._mesh_text()
        if text is None:
            raise OperatorError("the mesh has no sites yet: `linkweather enrol add SITE=ADDRESS`")
        return parse_mesh(text, str(self._places.mesh))

    def _mesh_text(self) -> str | None:
        return settings.read(self._places.mesh) if self._places.mesh.exists() else None

    def _changing_mesh(self) -> AbstractContextManager[None]:
        return atomicfile.changing(self._places.mesh.parent)

    def _write_mesh(self, text: str) -> None:
        self._replace(self._places.mesh, text, 0o640)

    def _replace(self, path: Path, content: str | bytes, mode: int) -> None:
        try:
            atomicfile.replace(path, content, mode=mode)
        except OSError as error:
            raise _unwritten(path, error) from None
        self._give(path)

    def _give(self, path: Path) -> None:
        shutil.chown(path, self._places.user, self._places.group)


def _unwritten(path: Path, error: OSError) -> OperatorError:
    return OperatorError(f"{path}: cannot be written: {error.strerror}")


OWN = RESERVED  # names whose certificates are of this machine
__all__ = ["BROKER", "COLLECTOR", "OWN", "Enrolling", "EnrolmentSettings"]
