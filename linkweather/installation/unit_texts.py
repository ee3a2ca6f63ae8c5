"""The units that travel with linkweather, with this installation's command and folders in them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from linkweather.installation.places import Places
from linkweather.installation.steps import TextFile


def unit_files(names: Iterable[str], shipped: Mapping[str, str], places: Places) -> Iterator[TextFile]:
    """The units of these names as files; of those that `shipped` lacks, a package has the file already."""
    for name in (f"{name}.service" for name in names):
        if name in shipped:
            yield TextFile(
                places.units / name, _unit_text(shipped[name], places), 0o644, places.owner, places.owner_group
            )


def _unit_text(text: str, places: Places) -> str:
    for said, meant in (
        ("/opt/linkweather/bin", str(places.command.parent)),
        ("/etc/linkweather", str(places.config)),
        ("/var/lib/linkweather", str(places.data)),
        ("User=linkweather\n", f"User={places.user}\n"),
    ):
        text = text.replace(said, meant)
    return text
