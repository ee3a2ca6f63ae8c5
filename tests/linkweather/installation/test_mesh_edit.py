"""Sites come and go in a mesh file as by an editor's hand."""

from __future__ import annotations

import pytest

from linkweather.errors import OperatorError
from linkweather.installation.mesh_edit import with_site, without_site
from linkweather.mesh_methods import parse_mesh

TEXT = """# ours
name = "two"   # and only two

[sites.north]
address = "192.0.2.1"  # the old hall

[sites.south]
address = "192.0.2.2"

[[links]]
src = "north"
dst = "south"
both = true
"""


def test_a_first_site_makes_a_mesh_that_is_authenticated() -> None:
    mesh = parse_mesh(with_site(None, "north", {"address": "192.0.2.1", "region": None}), "mesh.toml")
    assert mesh.latency.authenticated
    assert list(mesh.sites) == ["north"]


GROUPS = """
[sites.east]
address = "192.0.2.3"

[[groups]]
name = "core"
sites = ["north", "south"]  # the old ones

[[groups]]
name = "star"
hubs = ["south", "east"]

[[groups]]
name = "alone"
hubs = ["north"]
"""


def test_a_site_is_added_and_all_else_stays() -> None:
    text = with_site(TEXT, "east", {"address": "192.0.2.3", "latitude": 1.5})
    assert [line for line in TEXT.splitlines() if line not in text.splitlines()] == []
    assert parse_mesh(text, "mesh.toml").sites["east"].latitude == 1.5


def test_a_site_goes_with_its_links() -> None:
    text = without_site(with_site(TEXT, "east", {"address": "192.0.2.3"}), "south")
    mesh = parse_mesh(text, "mesh.toml")
    assert list(mesh.sites) == ["north", "east"]
    assert mesh.links == ()  # without the key, every pair would have a link
    assert list(mesh.pairs()) == []
    assert "# the old hall" in text


def test_a_site_leaves_its_groups() -> None:
    text = without_site(TEXT + GROUPS, "south")
    core, star, alone = parse_mesh(text, "mesh.toml").groups
    assert (core.sites, star.hubs, alone.hubs) == (("north",), ("east",), ("north",))
    assert "# the old ones" in text


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda: with_site(TEXT, "north", {"address": "192.0.2.9"}), "north: is in the mesh already"),
        (lambda: without_site(TEXT, "east"), "east: is no site of the mesh; these are: north, south"),
        (lambda: without_site(TEXT + GROUPS, "north"), "north: is the last of hubs in the group alone"),
        (lambda: with_site("name = ", "a", {}), "is not TOML"),
    ],
)
def test_what_cannot_be_done_is_said(edit: object, sentence: str) -> None:
    assert callable(edit)
    with pytest.raises(OperatorError, match=sentence):
        edit()
