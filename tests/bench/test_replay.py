"""The replay of a live mesh: relays that pay are found by tests within the budget, and what is wrong is said."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.bench import replay

# Among these five only a → b is slow: 0.1 Gbit/s direct, ten times as much over any other site.
SITES = "abcde"


def grid(path: Path, scale: float = 1.0) -> str:
    rows = [f"{src},{dst},{scale * (1e8 if src + dst == 'ab' else 1e9)}\n" for src, dst in permutations(SITES, 2)]
    path.write_text("src,dst,goodput_bps\n" + "".join(rows))
    return str(path)


def replayed(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert replay.main([*options, "--days", "2", "--noise", "0.01", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_a_relay_that_pays_is_found_by_tests_and_kept_within_the_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [grid(tmp_path / "one.csv"), grid(tmp_path / "two.csv", 1.2)]
    found = replayed(capsys, *files, "--budget", "30")
    assert 0 < found["moved_gb_a_day"] <= 30
    # one of twenty pairs is ten times as fast, which direct alone does not find
    for policy, speed_up in (
        ("direct", 1.0),
        ("first grid", 10**0.05),
        ("mean of 8 tests", 10**0.05),
        ("ours", 10**0.05),
    ):
        assert found["policies"][policy]["speed_up"][0] == pytest.approx(speed_up, rel=0.01)
    assert found["policies"]["ours"]["worse"][0] == 0.0


def test_too_few_sites_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    grid(one)
    two.write_text("src,dst,goodput_bps\nx,y,1e9\n")
    assert replay.main([str(one), str(two)]) == 2
    assert "0 sites in all grids" in capsys.readouterr().err


def test_the_first_days_are_left_out_of_the_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow, even = grid(tmp_path / "slow.csv"), tmp_path / "even.csv"
    even.write_text("src,dst,goodput_bps\n" + "".join(f"{src},{dst},1e9\n" for src, dst in permutations(SITES, 2)))
    files = [slow, str(even)]  # a relay is worth it on the first day and the third
    for first_day, gained in (("2", 0.05 / 2), ("3", 0.05)):
        options = [*files, "--days", "3", "--from", first_day, "--budget", "30", "--json"]
        assert replay.main(options) == 0
        (found,) = json.loads(capsys.readouterr().out)
        assert found["policies"]["first grid"]["speed_up"][0] == pytest.approx(10**gained, rel=0.001)


@pytest.mark.parametrize("first_day", ["1", "3"])
def test_a_first_day_that_is_not_scored_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], first_day: str
) -> None:
    file = grid(tmp_path / "one.csv")
    assert replay.main([file, file, "--days", "2", "--from", first_day]) == 2
    assert f"days {first_day} to 2" in capsys.readouterr().err
