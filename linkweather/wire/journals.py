"""Which journal a message is of, and which one a site follows: so that a second collector takes no report in silence.

A collector's mesh message and its `committed` name its journal. A site follows the journal of the first mesh that it
gets, for good: what another one has committed is not in the record that the site's reports belong to. A collector that
takes the place of another says so: its mesh names the journals that it `replaces`. A room of its own because both
programs keep this rule.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from linkweather.mesh import Description
from linkweather.wire.fields import Name
from linkweather.wire.messages import Message

ReplacedJournals = Annotated[tuple[Name, ...], Field(max_length=64)]


class MeshOrigin(Message):
    """Whose mesh it is that a collector publishes."""

    journal: Name | None = None
    replaces: ReplacedJournals = ()


class PublishedMesh(MeshOrigin):
    """What every site hears of the mesh: its name, and that its collector has come, or come back."""

    name: Description = "mesh"


def followed(present: str | None, origin: MeshOrigin) -> str | None:
    """The journal that a site follows once it has this mesh: another than `present` only if it replaces that one.

    A collector of before journals had names has None, and is followed by a site that follows none.
    """
    return origin.journal if present is None or present in origin.replaces else present
