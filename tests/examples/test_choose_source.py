"""The example that picks a source: its own process, a real collector."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests import servers
from tests.examples.systems import run


def choose(api: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("choose_source.py", "--api", api, "--to", "bj", "--bytes", "1GB", *arguments)


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_soonest_mirror_is_picked_and_every_reason_is_said(api: str) -> None:
    said = choose(api, "nm", "gz")
    assert (said.returncode, said.stderr) == (0, "")
    header, first, second, *reasons, picked = lines(said.stdout)
    assert header == "source path p50 p90 USD"
    # 8 Gbit at 100 and at 50 Mbit/s are 80 s and 160 s, each drawn some percent towards what its neighbours have;
    # 0.05 and 0.02 USD/GB.
    assert re.fullmatch(r"gz gz → bj 8[0-7]\.\d s \d+\.?\d* s 0\.05", first)
    assert re.fullmatch(r"nm nm → bj 2\.[4-7]\d min \d\.\d+ min 0\.02", second)
    assert [reason.split(":")[0].split()[:3] for reason in reasons] == [["gz", "→", "bj"], ["nm", "→", "bj"]]
    assert picked.startswith("Take it from gz: p90 ")
    assert picked.endswith(" s, for 0.05 USD.")


def test_with_a_deadline_the_cheapest_that_keeps_it_is_picked(api: str) -> None:
    in_time = choose(api, "nm", "gz", "--deadline", "1h")
    assert lines(in_time.stdout)[-1].startswith("Take it from nm: ")
    assert in_time.stdout.rstrip().endswith("for 0.02 USD.")
    hurried = choose(api, "nm", "gz", "--deadline", "120s")
    assert lines(hurried.stdout)[-1].startswith("Take it from gz: ")


def test_a_deadline_that_no_mirror_keeps_ends_with_1(api: str) -> None:
    said = choose(api, "nm", "gz", "--deadline", "10s")
    assert (said.returncode, said.stderr) == (1, "Error: no mirror has the file at bj within 10.0 s\n")


def test_a_mirror_without_a_path_is_said_and_passed_over(api: str) -> None:
    said = choose(api, "island", "gz")
    assert said.returncode == 0
    found = lines(said.stdout)
    assert found[0].startswith("not island: island → bj has ")
    assert found[-1].startswith("Take it from gz: ")


def test_only_mirrors_without_a_path_end_with_1(api: str) -> None:
    said = choose(api, "island")
    assert (said.returncode, said.stderr) == (1, "Error: no mirror has the file at bj\n")
    assert len(lines(said.stdout)) == 1


def test_a_mirror_may_be_named_by_its_compute_id(api: str) -> None:
    assert "Take it from CN-GZ: " in choose(api, "CN-GZ", "nm").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("gz", "nowhere"), "Error: src = 'nowhere': no such site; the mesh has gz, nm, bj, island\n"),
        (("bj",), "Error: dst: 'bj' is the source too: a path joins two different sites\n"),
        (("gz", "--bytes", "2XB"), "Error: '2XB': must be a size in bytes such as 2TB, 500GB or 10MiB\n"),
        (("gz", "--bytes", "0"), "Error: bytes: 0: must be above 0 and at most 1e+18\n"),
        (("gz", "--deadline", "soon"), "Error: 'soon': must be a duration such as 50ms, 60s or 5min\n"),
        (
            ("gz", "--api", "nowhere"),
            "Error: api = 'nowhere': must be http://host[:port], https://host[:port] or unix:///path\n",
        ),
    ],
)
def test_wrong_names_and_values_are_one_sentence_and_exit_2(
    api: str, arguments: tuple[str, ...], sentence: str
) -> None:
    said = choose(api, *arguments)
    assert (said.returncode, said.stdout, said.stderr) == (2, "", sentence)


def test_a_collector_that_is_away_is_one_sentence_and_exit_1() -> None:
    away = f"http://127.0.0.1:{servers.free_port()}"
    said = choose(away, "gz", "nm")
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith(f"Error: the collector at {away} does not answer (")
    assert said.stderr.count("\n") == 1
