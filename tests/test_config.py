"""What a newcomer reads is true: example files load, units are valid, and the README names only what exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from collector.settings import CollectorSettings
from collector.store.columns import TABLES
from linkweather import settings
from linkweather.cli.root import COMMANDS, main
from linkweather.lab.labfile import LabFile
from linkweather.mesh import Mesh
from linkweather.models.placements import Job
from linkweather.wire import REPORTS, Hop
from probes.settings import ProbeSettings

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config"
README = (ROOT / "README.md").read_text(encoding="utf-8")
UNITS = sorted((CONFIG / "systemd").glob("*.service"))

# file or folder of config/ → what reads it
MODELS: Mapping[str, type[BaseModel]] = {
    "mesh.toml": Mesh,
    "probe.toml": ProbeSettings,
    "collector.toml": CollectorSettings,
    "labs": LabFile,
    "job.toml": Job,
}

_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)\)")
_BENCH = re.compile(r"python -m (tests\.bench\.\w+)")
_TARGET = re.compile(r"\bmake ([a-z]+)`")
_ROW = re.compile(r"^\| `linkweather ([a-z ]+?)(?: [A-Z][A-Z.… ]*)?` \| (.*) \|$", re.MULTILINE)
_FIELDS = re.compile(r"^\| (latency|throughput|path|capacity) \| (?:`src`|`dst`|the site) \| (.*) \|$", re.MULTILINE)
_OPTION = re.compile(r"`(--?[a-z0-9][a-z0-9-]*)")
_INVOCATION = re.compile(r"^\$ .*?bin/linkweather ([a-z]+)([^|;&\n]*)", re.MULTILINE)


@pytest.mark.parametrize("path", sorted(CONFIG.rglob("*.toml")), ids=lambda path: path.stem)
def test_an_example_file_is_valid(path: Path) -> None:
    model = MODELS[path.relative_to(CONFIG).parts[0]]
    assert isinstance(settings.load(path, model), model)


def test_the_example_probe_settings_are_the_defaults() -> None:
    loaded = settings.load(CONFIG / "probe.toml", ProbeSettings)
    assert loaded == ProbeSettings(site="north", broker="mqtt://north:secret@broker.example.net")


def test_what_is_commented_out_of_the_probe_settings_works_when_it_is_not() -> None:
    lines = (CONFIG / "probe.toml").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line.removeprefix("# ") if re.match(r"# \w+ = ", line) else line for line in lines)
    found = settings.validate(tomllib.loads(text), ProbeSettings, "probe.toml")
    assert (found.key_file, found.bind, found.allow) == (
        Path("/etc/linkweather/mesh.key"),
        ("192.0.2.10", "2001:db8::10"),
        ("192.0.2.0/24",),
    )


def test_the_example_probe_settings_say_every_key() -> None:
    text = (CONFIG / "probe.toml").read_text(encoding="utf-8")
    missing = [name for name in ProbeSettings.model_fields if not re.search(rf"^(# )?{name} = ", text, re.MULTILINE)]
    assert missing == []


def service(unit: Path) -> Mapping[str, str]:
    parser = ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # systemd's keys have capitals
    parser.read_string(unit.read_text(encoding="utf-8").replace("\\\n", " "))
    return dict(parser["Service"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_command_with_options_that_exist(unit: Path) -> None:
    program, command, *options = service(unit)["ExecStart"].split()
    assert program == "/opt/linkweather/bin/linkweather"
    assert set(re.findall(r"--[a-z-]+", " ".join(options))) <= options_of([command])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_gives_no_more_than_its_command_needs(unit: Path) -> None:
    told = service(unit)
    raw = "CAP_NET_RAW" if "probe" in unit.name else ""
    assert (told["Restart"], told["User"], told["CapabilityBoundingSet"]) == ("always", "linkweather", raw)
    assert told.get("AmbientCapabilities", "") == raw


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_valid(unit: Path, tmp_path: Path) -> None:
    # systemd-analyze wants the program to exist.
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text(encoding="utf-8").replace("/opt/linkweather/bin/linkweather", sys.executable))
    result = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (result.returncode, [line for line in result.stderr.splitlines() if unit.name in line]) == (0, [])


def test_every_path_in_the_readme_exists() -> None:
    paths = _LINK.findall(README)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_bench_in_the_readme_exists() -> None:
    named = {name.rpartition(".")[2] for name in _BENCH.findall(README)}
    there = {path.stem for path in (ROOT / "tests" / "bench").glob("*.py") if "__main__" in path.read_text("utf-8")}
    assert named
    assert named <= there


def test_every_target_in_the_readme_is_in_the_makefile() -> None:
    named = set(_TARGET.findall(README))
    assert {"demo", "test", "bench"} <= named
    there = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert named <= set(there)


def command_at(path: list[str]) -> click.Command:
    """The command that these words name."""
    found: click.Command = main
    context = click.Context(main)
    for name in path:
        assert isinstance(found, click.Group), path
        inner = found.get_command(context, name)
        assert inner is not None, path
        found = inner
    return found


def options_of(path: list[str]) -> set[str]:
    """Every option of that command, and of the groups that it is in."""
    commands = [command_at(path[:depth]) for depth in range(1, len(path) + 1)]
    parameters = [option for command in commands for option in command.params]
    return {name for option in parameters for name in (*option.opts, *option.secondary_opts) if name.startswith("-")}


@pytest.mark.parametrize(("words", "text"), _ROW.findall(README), ids=lambda value: value[:20])
def test_a_command_s_row_in_the_readme_names_options_that_exist(words: str, text: str) -> None:
    assert set(_OPTION.findall(text)) <= options_of(words.split())


def test_every_command_has_its_row_in_the_readme() -> None:
    assert {words.split()[0] for words, _ in _ROW.findall(README)} == set(COMMANDS)


@pytest.mark.parametrize(("command", "rest"), _INVOCATION.findall(README))
def test_an_example_in_the_readme_names_options_that_exist(command: str, rest: str) -> None:
    words = [command]
    inner = rest.split()
    if isinstance(command_at(words), click.Group) and inner:
        words.append(inner[0])
    own = rest.partition(" -- ")[0]
    assert set(re.findall(r"(?<=\s)--[a-z0-9-]+", own)) <= options_of(words)


@pytest.mark.parametrize(("kind", "text"), _FIELDS.findall(README), ids=lambda value: value[:10])
def test_a_row_s_fields_in_the_readme_exist(kind: str, text: str) -> None:
    row = TABLES[kind].row
    named = set(re.findall(r"`(\w+)`", text))
    assert named <= set(row.model_fields) | set(Hop.model_fields)


def test_every_kind_of_row_is_in_the_readme() -> None:
    assert {kind for kind, _ in _FIELDS.findall(README)} == set(REPORTS)


def test_make_help_lists_every_target() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    result = subprocess.run(["make", "-s", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True)
    there = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert re.findall(r"^  make ([a-z]+) ", result.stdout, re.MULTILINE) == there


def test_the_root_command_s_help_fits_the_readme() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert "Exit status: 0 done, 1 measured but failed, 2 wrong usage or settings." in result.output
    assert "Exit status: 0 done, 1 " in README
