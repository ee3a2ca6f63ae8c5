"""Why something failed or is not well, in words: every code that a probe can send."""

from __future__ import annotations

from typing import Literal, get_args

import pytest

from linkweather.models.incidents import IncidentKind
from linkweather.models.routes import NoRouteReason, SwitchReason
from linkweather.models.state import DegradedKind, SiteCondition
from page.incident_lines import KIND_NAMES
from page.link_lines import DEGRADED, SITE_STATES
from page.reason_words import REASONS, because, reason
from page.route_rows import NO_ROUTES, SWITCHES
from page.words import words
from tests.page.pictures import ENGLISH, MARKED
from tests.page.reason_codes import reason_codes

# Set by the collector: collector/linkstate/site_states.py.
OF_THE_COLLECTOR = {"disabled", "offline"}


def test_every_code_of_the_probes_has_words_and_no_other_has() -> None:
    assert len(reason_codes()) > 40
    assert set(REASONS) == reason_codes() | OF_THE_COLLECTOR


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (IncidentKind, KIND_NAMES),
        (NoRouteReason, NO_ROUTES),
        (SwitchReason, SWITCHES),
        (SiteCondition, SITE_STATES),
        (DegradedKind, DEGRADED),
    ],
)
def test_every_kind_of_the_api_has_words(kinds: Literal[""], said: dict[str, str]) -> None:
    assert set(said) == set(get_args(kinds))


def test_a_code_of_a_newer_probe_is_shown_as_it_is() -> None:
    assert reason("sunspots", MARKED) == "sunspots"
    assert reason("timeout", words("zh")) == "未按时完成"


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("not measured yet", "[not measured yet]"),
        ("the last report is 42 s old", "[the last report is 42 s old]"),
        ("gz is offline: nothing came from it for 42 s", "[gz is offline: [nothing came from it for 42 s]]"),
        ("timeout", "[not over in time]"),
        ("the clock strikes 13", "the clock strikes 13"),
    ],
)
def test_a_sentence_whose_form_is_known_is_said_in_the_other_language(sentence: str, said: str) -> None:
    assert because(sentence, MARKED) == said
    assert because(sentence, ENGLISH) == sentence
