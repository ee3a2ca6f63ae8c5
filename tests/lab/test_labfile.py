from __future__ import annotations

import pytest

from linkweather import settings
from linkweather.errors import OperatorError
from linkweather.lab.labfile import Behaviour, LabFile, first_sites, mesh_of

TWO_SITES = "[sites.a]\n[sites.b]\n"
LINK = "[[links]]\nsrc = 'a'\ndst = 'b'\ndelay_s = 0.01\n"
BAD = {
    "[[links]]\nsrc = 'a'\ndst = 'x'\ndelay_s = 0.01\n": "lab.toml: links[0].dst = 'x': no such site; the lab has a, b",
    "[[links]]\nsrc = 'x'\ndst = 'b'\ndelay_s = 0.01\n": "lab.toml: links[0].src = 'x': no such site; the lab has a, b",
    "[[links]]\nsrc = 'a'\ndst = 'a'\ndelay_s = 0.01\n": (
        "lab.toml: links[0].dst = 'a': a link joins two different sites"
    ),
    LINK + LINK: "lab.toml: links[1]: the link a → b is declared twice",
    LINK + "both = true\n[[links]]\nsrc = 'b'\ndst = 'a'\ndelay_s = 1\n": (
        "lab.toml: links[1]: the link b → a is declared twice"
    ),
    "[[links]]\nsrc = 'a'\ndst = 'b'\n": "lab.toml: links[0].delay_s: required, but missing",
    LINK + "rate_bps = 0\n": "lab.toml: links[0].rate_bps = 0: must be greater than 0",
    LINK + "loss_ratio = 1.5\n": "lab.toml: links[0].loss_ratio = 1.5: must be at most 1",
    LINK + "jitter_s = 0.02\n": "lab.toml: links[0]: jitter_s = 0.02: must be at most delay_s, which is 0.01",
    LINK + "mtu = 1500\n": "lab.toml: links[0].mtu = 1500: no such key",
    LINK + "via = ['r1']\n": "lab.toml: links[0].via: 'r1': no such router; the lab has none",
    LINK + "via = ['r1', 'r1/x']\n[routers.r1]\n": "lab.toml: links[0].via: 'x': no such router; the lab has r1",
    LINK + "via = ['r1|x']\n": (
        "lab.toml: links[0].via[0] = 'r1|x': "
        "must be a router's id, or those of several that share the load, as in r2/r3"
    ),
    "[routers.r1]\nmtu_bytes = 100\n": "lab.toml: routers.r1.mtu_bytes = 100: must be at least 576",
    "[sites.c]\naddress = '10.0.0.1'\n": "lab.toml: sites.c.address = '10.0.0.1': no such key",
}


def lab(text: str) -> LabFile:
    return settings.parse(TWO_SITES + text, LabFile, "lab.toml")


@pytest.mark.parametrize("text", BAD)
def test_mistake_in_lab_file_is_one_sentence(text: str) -> None:
    with pytest.raises(OperatorError) as caught:
        lab(text)
    assert str(caught.value) == BAD[text]


def test_link_needs_only_its_ends_and_its_delay() -> None:
    assert dict(lab(LINK).behaviours()) == {
        ("a", "b"): Behaviour(delay_s=0.01, jitter_s=0.0, rate_bps=1e9, loss_ratio=0.0, queue_s=0.1)
    }


def test_both_makes_the_way_back_alike() -> None:
    behaviours = dict(lab(LINK + "both = true\nrate_bps = 5e6\n").behaviours())
    assert behaviours["a", "b"] == behaviours["b", "a"] == Behaviour(delay_s=0.01, rate_bps=5e6)


def test_both_takes_the_routers_in_the_other_order() -> None:
    behaviours = dict(lab("[routers.r1]\n[routers.r2]\n" + LINK + "both = true\nvia = ['r1', 'r2']\n").behaviours())
    assert behaviours["a", "b"].via == ("r1", "r2")
    assert behaviours["b", "a"].via == ("r2", "r1")


def test_first_sites_keep_only_the_links_among_them() -> None:
    whole = lab("[sites.c]\n" + LINK + "[[links]]\nsrc = 'b'\ndst = 'c'\ndelay_s = 0.02\n")
    cut = first_sites(whole, 2)
    assert list(cut.sites) == ["a", "b"]
    assert [(link.src, link.dst) for link in cut.links] == [("a", "b")]
    assert first_sites(whole, 9) == whole


def test_mesh_of_a_lab_has_its_descriptions_links_and_tests() -> None:
    whole = settings.parse(
        "name = 'm'\n[throughput]\nevery_s = 0.0\n[path]\nevery_s = 7.0\n"
        "[sites.a]\noperator = 'X'\nlatitude = 1.5\n[sites.b]\n" + LINK,
        LabFile,
        "lab.toml",
    )
    mesh = mesh_of(whole, {"a": "10.77.0.1", "b": "10.77.0.2"})
    assert mesh.name == "m"
    assert (mesh.throughput.every_s, mesh.path.every_s) == (0.0, 7.0)
    assert (mesh.sites["a"].address, mesh.sites["a"].operator, mesh.sites["a"].latitude) == ("10.77.0.1", "X", 1.5)
    assert list(mesh.pairs()) == [("a", "b")]
