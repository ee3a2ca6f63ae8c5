"""The bench of relays: what it scores, and what it says of bad files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.bench import relays

HEAD = "src,dst,goodput_bps\n"
# Direct carries 1 Gbit/s, the way over c 5 Gbit/s.
TRIANGLE = HEAD + "a,b,1e9\nb,a,1e9\na,c,5e9\nc,b,5e9\n"


def file(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_relay_that_is_five_times_faster_is_taken_and_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid, out = file(tmp_path / "grid.csv", TRIANGLE), tmp_path / "out.csv"
    status = relays.main(["--decide", grid, "--score", grid, "--json", "--decisions", str(out)])
    scores = {score["name"]: score for score in json.loads(capsys.readouterr().out)["scores"]}
    # four pairs, one of them five times faster: the fourth root of 5
    assert scores["ours"]["speed_up"] == pytest.approx(5**0.25)
    assert (scores["ours"]["relayed"], scores["ours"]["pairs"], scores["ours"]["worse"]) == (1, 4, 0.0)
    assert scores["oracle"]["speed_up"] == pytest.approx(5**0.25)
    assert status == 0
    with out.open(newline="") as rows:
        vias = {(row["src"], row["dst"]): row["via"] for row in csv.DictReader(rows)}
    assert vias == {("a", "b"): "c"} | dict.fromkeys([("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")], "")


def test_a_relay_that_turns_out_slower_is_counted_as_worse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decide = file(tmp_path / "decide.csv", TRIANGLE)
    score = file(tmp_path / "score.csv", HEAD + "a,b,2e9\na,c,1e9\nc,b,9e9\n")
    status = relays.main(["--decide", decide, "--decide", decide, "--score", score])
    ours = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("ours"))
    # three pairs, one at half its speed: the third root of a half
    assert ours.split() == ["ours", "0.794", "100.0%", "1", "3"]
    assert status == 1


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
