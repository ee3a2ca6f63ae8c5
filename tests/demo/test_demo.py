"""The whole system: from the command to a measured mesh, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from linkweather.lab.control_socket import ask
from linkweather.lab.labfile import shipped
from linkweather.lab.protocol import ShowLab
from tests import servers

needs_root = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]
ENGINES = [pytest.param((), id="emulated", marks=needs_root), pytest.param(("--engine", "loopback"), id="loopback")]

pytestmark = pytest.mark.timeout(180)


def command(folder: Path, *options: str) -> list[str]:
    port = str(servers.free_port())
    lab = str(shipped("labs/triangle.toml"))
    linkweather = [sys.executable, "-m", "linkweather"]
    return [*linkweather, "demo", "--data-dir", str(folder / "data"), "--port", port, "--lab", lab, *options]


def traces(folder: Path) -> list[str]:
    """Processes, interfaces, namespaces and temporary folders of a demo in this folder."""
    processes = [
        " ".join(process.info["cmdline"] or ())
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in " ".join(process.info["cmdline"] or ())
    ]
    interfaces = [path.name for path in Path("/sys/class/net").iterdir()]
    named = [path.name for path in Path("/run/netns").glob("*")]
    folders = [str(path) for path in Path(tempfile.gettempdir()).glob("linkweather-*")]
    return processes + interfaces + named + folders


@pytest.fixture
def clean(tmp_path: Path) -> Iterator[Path]:
    """A folder whose demo must leave nothing behind, beside what others left before."""
    before = set(traces(tmp_path))
    yield tmp_path
    servers.wait_until(lambda: set(traces(tmp_path)) <= before, f"no trace is left: {traces(tmp_path)}")


@pytest.mark.parametrize("options", ENGINES)
def test_the_mesh_is_measured_and_nothing_is_left_behind(clean: Path, options: tuple[str, ...]) -> None:
    done = subprocess.run(
        command(clean, "--for", "15s", "--json", "--quiet", *options),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["sites"], outcome["links"]) == (3, 6)
    assert {link["state"] for link in outcome["mesh"]} == {"fresh"}
    assert {site["state"] for site in outcome["sites_seen"]} == {"online"}
    assert outcome["ledger"]["balanced"] is True, outcome["ledger"]["why"]
    assert outcome["ledger"]["total"]["committed"] > 0
    if outcome["engine"] != "loopback":
        _check_emulated(outcome["mesh"])


def _check_emulated(links: list[dict[str, Any]]) -> None:
    """The triangle's round trips are 20, 40 and 80 ms; a goodput, where measured, is its link's rate."""
    rtt_s = {"ab": 0.02, "bc": 0.04, "ac": 0.08}
    rate_bps = {"ab": 100e6, "bc": 200e6, "ac": 50e6}
    for link in links:
        pair = "".join(sorted((link["src"], link["dst"])))
        assert link["rtt_min_s"] == pytest.approx(rtt_s[pair], abs=1e-3)
        assert link["goodput_bps"] is None or link["goodput_bps"] == pytest.approx(rate_bps[pair], rel=0.1)
    assert any(link["goodput_bps"] for link in links)


@pytest.mark.parametrize("options", ENGINES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_and_nothing_is_left_behind(
    clean: Path, number: signal.Signals, options: tuple[str, ...]
) -> None:
    with subprocess.Popen(command(clean, *options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as demo:
        collector = clean / "data" / "logs" / "collector.log"
        servers.wait_until(lambda: collector.exists() and b"connected" in collector.read_bytes(), "the demo runs")
        demo.send_signal(number)
        output, _ = demo.communicate(timeout=60)
    assert demo.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 0), output
    if number != signal.SIGKILL:
        assert output.startswith(b"Look at it: http://127.0.0.1:")
        assert b"linkweather demo: triangle, 3 sites, 6 links" in output


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_where_links_are_emulated_one_loses_packets_and_another_is_cut(clean: Path) -> None:
    log, data = clean / "output", clean / "data"
    with log.open("wb") as output, subprocess.Popen(command(clean), stdout=output) as demo:
        try:
            said = "Staged: a → c is cut (--quiet stages nothing)."
            servers.wait_until(lambda: said in log.read_text("utf-8"), "the cut is announced", 90)
            links = ask(data, ShowLab()).links
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(60)
    assert "Staged: a → b loses 12% of its packets" in log.read_text("utf-8")
    assert {(link.src, link.dst) for link in links if link.cut} == {("a", "c")}
    assert {(link.src, link.dst): link.loss_ratio for link in links if link.loss_ratio} == {("a", "b"): 0.12}


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with servers.running(sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0", log=tmp_path / "log"):
        servers.wait_until(lambda: "port" in (tmp_path / "log").read_text(), "the other server listens")
        port = re.findall(r"port (\d+)", (tmp_path / "log").read_text())[0]
        done = subprocess.run(
            [*command(tmp_path), "--port", port, "--engine", "loopback"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (2, f"Error: --port {port}: Address already in use: choose another\n")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--sites", "9"), "Error: --sites 9: the lab triangle has only 3\n"),
        (("--for", "soon"), "Error: --for 'soon': must be a duration longer than 0, such as 50ms, 60s or 5min\n"),
        (("--for", "0s"), "Error: --for '0s': must be a duration longer than 0, such as 50ms, 60s or 5min\n"),
        (("--lab", "/dev/stdin"), "Error: /dev/stdin: has no links: there is nothing to measure\n"),
        (("--lab", "/nowhere.toml"), "Error: /nowhere.toml: cannot be read: No such file or directory\n"),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path: Path, options: tuple[str, ...], sentence: str) -> None:
    done = subprocess.run(
        command(tmp_path, *options), input="[sites.a]\n", capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (2, sentence)


def test_a_second_demo_in_the_same_folder_is_refused(clean: Path) -> None:
    with subprocess.Popen(command(clean, "--engine", "loopback"), stdout=subprocess.DEVNULL) as demo:
        servers.wait_until((clean / "data" / "logs" / "collector.log").exists, "the first demo runs")
        again = subprocess.run(
            command(clean, "--engine", "loopback"), capture_output=True, text=True, check=False, timeout=60
        )
        demo.send_signal(signal.SIGINT)
    assert again.returncode == 2
    assert again.stderr.startswith("Error: ")
    assert again.stderr.count("\n") == 1


def test_ctrl_c_before_the_collector_answers_is_an_end_like_any_other(clean: Path) -> None:
    with subprocess.Popen(
        command(clean, "--engine", "loopback"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("Look at it: ")
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=60)
    assert (demo.returncode, errors) == (0, "")
