"""What the form of the incidents asks the API for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from linkweather.models.incidents import SilenceAnswer
from page.silence_form import covered, silence_request
from tests.page.pictures import ENGLISH, NOON

WHY = {"reason": "new switch", "until": "2h"}


def test_with_an_incident_it_is_acknowledged() -> None:
    asked = silence_request({**WHY, "incident": "i-1", "site": "gz", "token": "x"})
    assert (asked.method, asked.path) == ("POST", "/api/v1/incidents/i-1/acknowledge")
    assert asked.more == {"json": WHY}


@pytest.mark.parametrize(
    ("fields", "which"),
    [
        ({"site": " gz ", "dst": "", "kind": ""}, {"site": "gz"}),
        ({"site": "gz", "dst": "cc", "kind": "loss"}, {"src": "gz", "dst": "cc", "kind": "loss"}),
        ({"kind": "loss"}, {"kind": "loss"}),
    ],
)
def test_without_one_a_site_a_link_or_a_kind_is_silenced(fields: dict[str, str], which: dict[str, str]) -> None:
    asked = silence_request({**WHY, "incident": "", **fields})
    assert (asked.path, asked.more) == ("/api/v1/silences", {"json": {**WHY, **which}})


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"incident": "i-1"}, "incident i-1"),
        ({"site": "gz", "kind": "loss"}, "gz loss"),
        ({"src": "gz", "dst": "cc"}, "gz – cc"),
    ],
)
def test_a_silence_says_what_it_covers(of: dict[str, Any], said: str) -> None:
    found = SilenceAnswer(id="1", at=NOON, until=NOON + timedelta(hours=1), reason="new switch", **of)
    assert covered(found, ENGLISH) == said
