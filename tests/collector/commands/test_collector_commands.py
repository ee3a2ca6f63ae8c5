"""The commands `links` and `mesh`, against the real API on a real port."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from collector.commands import links_command
from linkweather.cli.root import main
from linkweather.cli.terminal import Terminal
from linkweather.models.state import LinkAnswer
from tests import servers

CHECKED = "mesh.toml: 2 sites, 2 links: 40.0 packets/s, 2.88 kB/s, 0.400 rows/s to the collector\n"
PROGRAM = str(Path(sys.executable).with_name("linkweather"))
TWO = '[sites.a]\naddress = "192.0.2.1"\noperator = "X"\n\n[sites.b]\naddress = "192.0.2.2"\n'


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("collector")


@pytest.fixture(scope="module")
def collector(folder: Path) -> Iterator[str]:
    """The URL of a collector without a report."""
    (folder / "mesh.toml").write_text(TWO)
    port = servers.free_port()
    options = ("--port", str(port), "--broker-port", str(servers.free_port()))
    with servers.running(PROGRAM, "collector", *options, log=folder / "log", cwd=folder):
        servers.wait_until(lambda: servers.answers(port), "the API answers")
        yield f"http://127.0.0.1:{port}"


def test_what_a_collector_keeps_is_for_its_user_alone_whatever_the_umask(collector: str, folder: Path) -> None:
    assert collector
    kept = folder / "collector-data"
    modes = {path.name: path.stat().st_mode & 0o077 for path in (kept, *kept.rglob("*"))}
    assert "journal.duckdb" in modes
    assert not any(modes.values()), modes


def test_links_prints_a_table_of_eighty_columns_into_a_pipe(collector: str) -> None:
    result = run("links", "--api", collector)
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    assert "a → b unknown – – – – – –" in " ".join(result.output.split())


def test_links_prints_json(collector: str) -> None:
    result = run("links", "--json", "--api", collector)
    assert [(link["src"], link["rtt_p50_s"]) for link in json.loads(result.output)] == [("a", None), ("b", None)]


def test_the_api_s_address_may_come_from_the_environment(collector: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINKWEATHER_API", collector)
    assert run("links").exit_code == 0


def test_links_may_be_chosen_sorted_and_shown_as_a_grid(collector: str) -> None:
    def pairs(*options: str) -> list[str]:
        return [
            link["src"] + link["dst"]
            for link in json.loads(run("links", "--json", *options, "--api", collector).output)
        ]

    assert pairs("--from", "b") == ["ba"]
    assert pairs("--state", "down", "--state", "degraded") == []
    assert pairs("--state", "unknown", "--sort", "rtt") == ["ab", "ba"]
    grid = run("links", "--grid", "--api", collector).output.splitlines()
    assert [line.split() for line in grid[:3]] == [["a", "b"], ["1", "a", "?"], ["2", "b", "?"]]
    assert grid[-1] == "not measured yet (2 links)"
    assert run("links", "--sort", "nonsense").exit_code == 2


def test_sites_prints_a_line_each_or_all_about_one(collector: str) -> None:
    lines = run("sites", "--api", collector).output.splitlines()
    states = [line.split()[:2] for line in lines if line.split()[:1] in (["a"], ["b"])]
    assert states == [["a", "unknown"], ["b", "unknown"]]
    assert [site["site"] for site in json.loads(run("sites", "b", "--json", "--api", collector).output)] == ["b"]
    one = run("sites", "a", "--api", collector).output
    assert "where:      192.0.2.1, X" in one
    assert "b → a is unknown: not measured yet" in one
    unknown = run("sites", "nowhere", "--api", collector)
    assert unknown.exit_code == 2
    assert "the mesh has a, b" in unknown.output


def test_doctor_says_what_to_do_about_each_site_and_ends_with_status_one(collector: str) -> None:
    result = run("doctor", "--api", collector)
    assert result.exit_code == 1
    assert "it has never been heard" in " ".join(result.output.split())
    assert max(map(len, result.output.splitlines())) <= 80
    one = run("doctor", "b", "--json", "--api", collector)
    assert [(found["subject"], found["what"]) for found in json.loads(one.output)] == [("b", "it has never been heard")]
    assert run("doctor", "nowhere", "--api", collector).exit_code == 2


def test_doctor_finds_nothing_where_all_is_well(monkeypatch: pytest.MonkeyPatch, collector: str) -> None:
    monkeypatch.setattr("linkweather.cli.doctor_command.diagnose", lambda *_: [])
    well = run("doctor", "--api", collector)
    assert (well.exit_code, well.output) == (0, "nothing is found: 2 sites, 2 links\n")


def test_watch_prints_until_ctrl_c(collector: str) -> None:
    with subprocess.Popen(
        [PROGRAM, "links", "--watch", "--json", "--every", "0.1", "--api", collector],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(2)
        _, said = process.communicate(timeout=90)
    assert [len(json.loads(line)) for line in lines] == [2, 2]
    assert (process.returncode, said) == (0, "")


def test_watch_draws_the_table_until_ctrl_c(collector: str) -> None:
    ours, its = pty.openpty()
    command = [PROGRAM, "links", "--watch", "--every", "0.1", "--api", collector]
    with subprocess.Popen(command, stdout=its, stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(its)
        drawn = b""
        while "a → b".encode() not in drawn:
            drawn += os.read(ours, 65536)
        process.send_signal(2)
        with contextlib.suppress(OSError):  # the terminal's other end is closed
            while os.read(ours, 65536):
                pass
        _, said = process.communicate(timeout=90)
    os.close(ours)
    assert (process.returncode, said) == (0, b"")


def test_a_table_longer_than_the_terminal_turns_its_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    links = [LinkAnswer(src="a", dst=f"b{number}") for number in range(5)]
    seen = []
    for at in (0.0, 4.0, 8.0, 12.0):
        monkeypatch.setattr("collector.commands.links_command.time.monotonic", lambda at=at: at)
        console = Terminal(width=80, height=9, record=True, file=io.StringIO())
        console.print(links_command._screen(links, "", console))
        text = console.export_text()
        assert len(text.splitlines()) < 9
        seen.append([link.dst for link in links if link.dst in text])
    assert seen == [["b0", "b1"], ["b2", "b3"], ["b4"], ["b0", "b1"]]


def test_a_clock_that_is_wrong_is_named_once_below_the_links(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "the clock of site a is 50 min behind the collector's: synchronise it, by NTP say"
    links = [LinkAnswer(src="a", dst=f"b{number}", reason=reason) for number in range(5)]
    links_command._print_links(links, as_json_=False)
    assert capsys.readouterr().out.splitlines()[-1] == f"{reason} (5 links)"
    console = Terminal(width=80, height=10, record=True, file=io.StringIO())
    console.print(links_command._screen(links, "", console))
    text = console.export_text()
    assert len(text.splitlines()) < 10
    assert text.count("50 min behind") == 1


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1"])
def test_a_time_that_is_none_is_wrong_usage(seconds: str) -> None:
    result = run("links", "--watch", "--every", seconds)
    assert result.exit_code == 2
    assert result.output.startswith(f"Error: --every {seconds!r}: must be ")


@pytest.mark.parametrize("command", [("links",), ("links", "--watch"), ("mesh", "show"), ("links", "--json")])
def test_a_collector_that_is_away_is_one_sentence_and_status_1(command: tuple[str, ...]) -> None:
    api = f"http://127.0.0.1:{servers.free_port()}"
    result = run(*command, "--api", api)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: the collector at {api} does not answer ([Errno 111] Connection refused): "
        "start it with `linkweather collector`, or name another with --api\n"
    )


def test_an_impossible_address_is_one_sentence_and_status_2() -> None:
    result = run("links", "--api", "nowhere")
    assert (result.exit_code, result.output) == (
        2,
        "Error: api = 'nowhere': must be http://host[:port], https://host[:port] or unix:///path\n",
    )


def test_mesh_check_counts_sites_and_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mesh.toml").write_text(TWO)
    result = run("mesh", "check", "mesh.toml")
    assert (result.exit_code, result.output.splitlines(keepends=True)[0]) == (0, CHECKED)


def test_mesh_check_says_what_a_day_costs_at_most(tmp_path: Path) -> None:
    path = tmp_path / "mesh.toml"
    path.write_text(TWO.replace('operator = "X"', "egress_usd_per_gb = 0.1"))
    _, total, *rest = run("mesh", "check", str(path)).output.splitlines()
    assert total == (
        "a day at most: 3.46 M packets, 249 MB, of latency tests; 50.0 GB of throughput tests, "
        "at 10.0 Gbit/s where no goodput is known; 2.51 USD"
    )
    rows = [" ".join(line.split()) for line in rest if line.split()]
    assert rows[0] == "site packets latency tests throughput tests budget sent USD"
    assert rows[2] == "a 3.46 M 249 MB 50.0 GB 50.0 GB 25.1 GB 2.51"
    assert rows[3] == "b 3.46 M 249 MB 50.0 GB 50.0 GB 25.1 GB –"
    assert rows[6] == "a → b 1.73 M 124 MB 25.0 GB 2.51"
    slow = run("mesh", "check", str(path), "--rate", "1M").output.splitlines()[1]
    assert "108 MB of throughput tests, at 1.00 Mbit/s" in slow  # 144 tests of 375 kB, both ways


def test_mesh_check_names_sites_without_any_link(tmp_path: Path) -> None:
    path = tmp_path / "mesh.toml"
    more = '[sites.c]\naddress = "192.0.2.9"\n[[links]]\nsrc = "a"\ndst = "b"\n'
    path.write_text(TWO + more)
    assert "Without any link: c" in run("mesh", "check", str(path)).output.splitlines()


def test_mesh_check_names_the_dearest_sites_alone(tmp_path: Path) -> None:
    path = tmp_path / "mesh.toml"
    path.write_text("".join(f'[sites.s{n:02}]\naddress = "192.0.2.{n}"\n' for n in range(1, 24)))
    lines = run("mesh", "check", str(path)).output.splitlines()
    assert sum(line.lstrip().startswith("s") and "→" not in line for line in lines) == 21  # and the heading
    assert "USD" not in "".join(lines)
    assert any(line.strip() == "and 3 more sites" for line in lines)
    assert sum("→" in line for line in lines) == 5


def test_mesh_check_of_a_missing_file_is_one_sentence() -> None:
    result = run("mesh", "check", "nowhere.toml")
    assert (result.exit_code, result.output) == (
        2,
        "Error: nowhere.toml: cannot be read: No such file or directory\n",
    )


def test_mesh_show_prints_sites_and_json(collector: str) -> None:
    assert (
        run("mesh", "show", "--api", collector).output == "mesh: 2 sites, 2 links\n  a  192.0.2.1  X\n  b  192.0.2.2\n"
    )
    shown = json.loads(run("mesh", "show", "--json", "--api", collector).output)
    assert shown["sites"]["a"]["address"] == "192.0.2.1"


def test_a_mesh_that_asks_too_much_of_a_site_is_pushed_only_when_that_is_meant(collector: str, tmp_path: Path) -> None:
    path = tmp_path / "flood.toml"
    sites = "".join(f'[sites.s{number}]\naddress = "192.0.2.{number}"\n' for number in range(1, 60))
    path.write_text(f'name = "flood"\n[latency]\ninterval_s = 0.01\n{sites}')
    assert "`mesh push` needs --yes" in run("mesh", "check", str(path)).output
    refused = run("mesh", "push", str(path), "--api", collector)
    assert (refused.exit_code, "too much for the site s1: 23,200 packets/s" in refused.output) == (2, True)
    assert run("mesh", "push", str(path), "--yes", "--api", collector).exit_code == 0


def test_mesh_push_puts_a_mesh_into_force(collector: str, tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text('name = "pushed"\n' + TWO)
    result = run("mesh", "push", str(path), "--api", collector)
    first, costs, *_ = result.output.splitlines()
    assert (result.exit_code, first) == (0, f"in force: {path}: 2 sites, 2 links")
    assert costs.startswith("a day at most: 3.46 M packets")
    assert run("mesh", "show", "--api", collector).output.startswith("pushed: 2 sites")
    path.write_text(TWO)
    assert run("mesh", "push", str(path), "--api", collector).exit_code == 0


def test_an_invalid_mesh_is_not_even_sent(collector: str, tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text("x = 1\n" + TWO)
    result = run("mesh", "push", str(path), "--api", collector)
    assert (result.exit_code, result.output) == (2, f"Error: {path}: x = 1: no such key\n")


def test_asking_imports_nothing_that_only_a_collector_needs() -> None:
    code = (
        "import sys, collector.commands.links_command, collector.commands.mesh_command; "
        "print([name for name in ('duckdb', 'fastapi', 'numpy', 'uvicorn', 'influxdb_client') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
