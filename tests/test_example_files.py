"""The example files of config/: the settings load and say every key, the units are valid."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from configparser import ConfigParser
from itertools import takewhile
from pathlib import Path

import pytest
from pydantic import BaseModel

from collector.settings import CollectorSettings
from linkweather import settings
from linkweather.broker import BrokerSettings
from linkweather.lab.labfile import LabFile
from linkweather.mesh import Mesh
from linkweather.models.placements import Job
from probes.settings import ProbeSettings
from tests.command_tree import options_of

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config"
UNITS = sorted((CONFIG / "systemd").glob("*.service"))

# file or folder of config/ → what reads it
MODELS: Mapping[str, type[BaseModel]] = {
    "mesh.toml": Mesh,
    "mesh-hubs.toml": Mesh,
    "probe.toml": ProbeSettings,
    "collector.toml": CollectorSettings,
    "labs": LabFile,
    "job.toml": Job,
    "cluster": CollectorSettings,
    "containers": CollectorSettings,
}


@pytest.mark.parametrize("path", sorted(CONFIG.rglob("*.toml")), ids=lambda path: path.stem)
def test_an_example_file_is_valid(path: Path) -> None:
    model = MODELS[path.relative_to(CONFIG).parts[0]]
    assert isinstance(settings.load(path, model), model)


def test_the_example_probe_settings_are_the_defaults() -> None:
    loaded = settings.load(CONFIG / "probe.toml", ProbeSettings)
    keys = Path("/etc/linkweather/keys")
    broker = BrokerSettings(
        url="mqtts://broker.example.net",
        ca_file=keys / "ca.crt",
        cert_file=keys / "site.crt",
        key_file=keys / "site.key",
    )
    assert loaded == ProbeSettings(site="north", broker=broker)


def test_what_is_commented_out_of_the_probe_settings_works_when_it_is_not() -> None:
    lines = (CONFIG / "probe.toml").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line.removeprefix("# ") if re.match(r"# \w+ = ", line) else line for line in lines)
    found = settings.validate(tomllib.loads(text), ProbeSettings, "probe.toml")
    assert (found.key_file, found.bind, found.allow) == (
        Path("/etc/linkweather/keys/mesh.key"),
        ("192.0.2.10", "2001:db8::10"),
        ("192.0.2.0/24",),
    )


def test_the_example_probe_settings_say_every_key() -> None:
    text = (CONFIG / "probe.toml").read_text(encoding="utf-8")
    forms = {name: rf"^(# )?{name} = |^\[{name}\]" for name in ProbeSettings.model_fields}
    missing = [name for name, form in forms.items() if not re.search(form, text, re.MULTILINE)]
    assert missing == []


def service(unit: Path) -> Mapping[str, str]:
    parser = ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # systemd's keys have capitals
    parser.read_string(unit.read_text(encoding="utf-8").replace("\\\n", " "))
    return dict(parser["Service"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_command_with_options_that_exist(unit: Path) -> None:
    program, *words = service(unit)["ExecStart"].split()
    if unit.stem == "linkweather-broker":
        assert [program, words[0]] == ["/usr/sbin/mosquitto", "-c"]
        return
    assert program == "/opt/linkweather/bin/linkweather"
    command = list(takewhile(lambda word: not word.startswith("-"), words))
    assert set(re.findall(r"--[a-z-]+", " ".join(words))) <= options_of(command)


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


def test_make_help_lists_every_target() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    result = subprocess.run(["make", "-s", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True)
    there = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert re.findall(r"^  make ([a-z]+) ", result.stdout, re.MULTILINE) == there
