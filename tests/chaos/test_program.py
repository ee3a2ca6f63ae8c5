"""The program of chaos: what its options ask for, and the cases that its help lists."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import SEEDS, asked, parser
from tests.chaos.cases import CASES


def runs(*arguments: str) -> list[tuple[str, int]]:
    return [(name, seed) for name, _, seed in asked(parser().parse_args(arguments))]


def test_without_options_every_seed_is_followed_by_every_case() -> None:
    assert len(SEEDS) >= 3
    assert parser().parse_args([]).faults >= 100
    assert runs() == [*(("schedule", seed) for seed in SEEDS), *((name, SEEDS[0]) for name in CASES)]


def test_seeds_alone_run_no_case_and_cases_alone_no_schedule() -> None:
    assert runs("--seed", "7", "--seed", "8") == [("schedule", 7), ("schedule", 8)]
    assert runs("--case", "journal-gone", "--seed", "7") == [("journal-gone", 7)]


def test_the_help_lists_every_case_with_what_it_breaks() -> None:
    lines = [line.split(maxsplit=1) for line in parser().format_help().splitlines()]
    assert all([name, scenario.help] in lines for name, scenario in CASES.items())


def test_a_case_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--case", "nothing"])
    assert "invalid choice: 'nothing'" in capsys.readouterr().err
