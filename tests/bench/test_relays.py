"""The bench of relays: what it scores, and what it says of bad files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench import relays
from tests.bench.grids import GridFile

HEAD = "src,dst,goodput_bps\n"
# Direct carries 1 Gbit/s, the way over c 5 Gbit/s.
TRIANGLE = HEAD + "a,b,1e9\nb,a,1e9\na,c,5e9\nc,b,5e9\n"


def file(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def cases(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["cases"]
    return found


def of(case: dict[str, Any], policy: str) -> dict[str, Any]:
    return next(score for score in case["scores"] if score["name"] == policy)


def test_a_relay_that_is_five_times_faster_is_taken_and_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid, out = file(tmp_path / "grid.csv", TRIANGLE), tmp_path / "out.csv"
    status = relays.main(["--decide", grid, "--score", grid, "--json", "--decisions", str(out)])
    (case,) = cases(capsys)
    # four pairs, one of them five times faster: the fourth root of 5
    assert of(case, "ours")["speed-up"][0] == pytest.approx(5**0.25)
    assert (of(case, "ours")["relayed"], of(case, "ours")["pairs"], of(case, "ours")["worse"][0]) == (1, 4, 0.0)
    assert of(case, "oracle")["speed-up"][0] == pytest.approx(5**0.25)
    assert status == 0
    with out.open(newline="") as rows:
        vias = {(row["src"], row["dst"]): row["via"] for row in csv.DictReader(rows)}
    assert vias == {("a", "b"): "c"} | dict.fromkeys([("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")], "")


def test_a_relay_that_turns_out_slower_is_counted_as_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decide = file(tmp_path / "decide.csv", TRIANGLE)
    score = file(tmp_path / "score.csv", HEAD + "a,b,2e9\na,c,1e9\nc,b,9e9\n")
    relays.main(["--case", f"{decide},{decide}", score, "3", "--json"])
    (case,) = cases(capsys)
    ours = of(case, "ours")
    # three pairs, one at half its speed: the third root of a half
    assert ours["speed-up"][0] == pytest.approx(0.5 ** (1 / 3))
    assert [ours[figure][0] for figure in ("worse", "5 % worse", "tail")] == pytest.approx([1.0, 1.0, 0.5])
    assert (ours["relayed"], ours["pairs"]) == (1, 3)
    # The plain margins take the same relay, but for direct alone, which their curve begins with: 1 − 0.794 behind.
    assert case["ahead"][0] == pytest.approx(0.5 ** (1 / 3) - 1.0)


def test_each_day_is_left_out_once_and_decided_on_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = file(tmp_path / "grid.csv", TRIANGLE)
    relays.main([part for day in ("05", "07", "01") for part in ("--day", f"{grid}@2022-01-{day}")] + ["--json"])
    days = [f"{grid}@2022-01-{day}" for day in ("01", "05", "07")]
    assert [case["case"] for case in cases(capsys)] == [
        f"{days[0]} + {days[2]} → {days[1]}, 2 days",
        f"{days[0]} + {days[1]} → {days[2]}, 2 days",
        f"{days[2]} + {days[1]} → {days[0]}, 4 days",
    ]


def test_a_file_of_several_days_is_read_a_day_at_a_time(tmp_path: Path) -> None:
    rows = "2022-02-14T01:00:00Z,a,b,1e9\n2022-02-14T02:00:00Z,a,b,4e9\n2022-02-17T01:00:00Z,a,b,7e9\n"
    text = file(tmp_path / "days.csv", "at," + HEAD + rows)
    read = [GridFile.parse(f"{text}@2022-02-{day}").read() for day in (14, 17)]
    assert [grid["a", "b"] for grid in read] == pytest.approx([2e9, 7e9])


def test_frames_are_scored_by_what_was_decided_on_those_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{frame},a,b,1e9\n{frame},a,c,5e9\n{frame},c,b,{leg}\n" for frame, leg in enumerate(["5e9"] * 9 + ["4e9"])]
    text = file(tmp_path / "frames.csv", "frame," + HEAD + "".join(rows))
    relays.main(["--frames", text, "--json"])
    one, eight = cases(capsys)
    assert (of(one, "ours")["pairs"], of(eight, "ours")["pairs"]) == (9 * 3, 2 * 3)
    # of six pairs, the two from a to b are 5 and 4 times faster
    assert of(eight, "oracle")["speed-up"][0] == pytest.approx(20 ** (1 / 6))


def test_who_loses_more_than_the_plain_margins_is_behind_their_curve() -> None:
    plains = np.array([[1.3, 0.1, 0, 0], [1.2, 0.05, 0, 0]])
    # Halfway from 5 % to 10 % worse they reach 1.25; below 5 % their curve comes from direct alone.
    assert relays._ahead(plains, np.array([1.24, 0.075, 0, 0])) == pytest.approx(-0.01)
    assert relays._ahead(plains, np.array([1.12, 0.025, 0, 0])) == pytest.approx(0.02)


def test_pairs_without_a_direct_measurement_stay_direct() -> None:
    truth = np.array([[np.nan, np.nan, 5.0], [1.0, np.nan, 1.0], [1.0, 5.0, np.nan]])
    assert relays.chosen([truth], ["a", "b", "c"])[0, 1] == -1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("src,dst\na,b\n", "has no column 'goodput_bps'; the columns are src, dst and goodput_bps"),
        (HEAD + "a,b,fast\n", ", line 2: goodput_bps 'fast' is not a number"),
        (HEAD + "a,b,-1\n", ", line 2: goodput_bps -1 is not 0 or more"),
        (HEAD + "a,b,nan\n", ", line 2: goodput_bps nan is not 0 or more"),
        (HEAD + "a,,1\n", ", line 2: names no dst"),
        (HEAD + "a,b,\n", ": has no goodput of any link"),
        ("\0", "has no column 'src'"),
    ],
)
def test_bad_files_are_said_in_one_sentence(
    text: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = file(tmp_path / "good.csv", TRIANGLE), file(tmp_path / "bad.csv", text)
    assert relays.main(["--decide", bad, "--score", good]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.startswith(bad)
    assert said.count("\n") == 1


def test_files_that_cannot_be_opened_and_nothing_to_score_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid, missing = file(tmp_path / "grid.csv", TRIANGLE), str(tmp_path / "none.csv")
    assert relays.main(["--decide", grid, "--score", missing]) == 2
    assert capsys.readouterr().err == f"{missing}: No such file or directory\n"
    legless = file(tmp_path / "legless.csv", HEAD + "a,b,1\n")  # a relay is taken there, whose legs it does not have
    assert relays.main(["--decide", grid, "--score", legless]) == 2
    assert "has no pair to score" in capsys.readouterr().err
    assert relays.main(["--decide", grid, "--score", grid, "--decisions", str(tmp_path / "no" / "out.csv")]) == 2
    assert "No such file or directory" in capsys.readouterr().err
    assert relays.main(["--case", grid, grid, "long"]) == 2
    assert capsys.readouterr().err == "long: is no number of days\n"
    assert relays.main(["--frames", grid]) == 2
    assert capsys.readouterr().err == f"{grid}: its rows have no numbered frame\n"
    assert relays.main(["--day", f"{grid}@2022-01-17"]) == 2
    assert "beside it there is another" in capsys.readouterr().err
    assert relays.main(["--day", f"{grid}@monday"]) == 2
    assert "is no day such as 2022-02-14" in capsys.readouterr().err
