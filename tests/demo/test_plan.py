"""What is staged in the demo: which links, and that a round leaves them as they were."""

from __future__ import annotations

import pytest

from linkweather import settings
from linkweather.demo.plan import LOSS_RATIO, staged_day
from linkweather.lab.labfile import LabFile, first_sites, shipped

HUBS = settings.load(shipped("labs/hubs.toml"), LabFile)


def test_a_round_degrades_one_link_cuts_and_restores_another_and_leaves_both_as_they_were() -> None:
    acts = list(staged_day(HUBS))
    assert [(act.src, act.dst, act.loss_ratio, act.cut) for act in acts] == [
        ("yd", "gba", LOSS_RATIO, None),
        ("nm", "gs", None, True),
        ("nm", "gs", None, False),
        ("yd", "gba", 0.0, None),
    ]
    assert [act.sentence for act in acts] == [
        "Staged: yd → gba loses 12% of its packets (--quiet stages nothing).",
        "Staged: nm → gs is cut (--quiet stages nothing).",
        "Staged: nm → gs is restored (--quiet stages nothing).",
        "Staged: yd → gba is well again; a minute of calm (--quiet stages nothing).",
    ]


def test_the_lossy_link_gets_the_loss_of_its_lab_file_back() -> None:
    links = tuple(link.model_copy(update={"loss_ratio": 0.01}) for link in HUBS.links)
    assert [act.loss_ratio for act in staged_day(HUBS.model_copy(update={"links": links}))][-1] == 0.01


@pytest.mark.parametrize(("sites", "acts"), [(1, 0), (2, 4)])
def test_a_small_lab_has_its_day_on_its_only_link_or_none(sites: int, acts: int) -> None:
    assert len(list(staged_day(first_sites(HUBS, sites)))) == acts
