"""The shipped systemd units, as systemd itself reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = sorted(Path(__file__).parent.parent.joinpath("config", "systemd").glob("*.service"))
MOST_EXPOSURE = 2.0
LIMITS = {"MemoryMax", "TasksMax", "LimitNOFILE", "UMask"}


def test_there_are_units() -> None:
    assert {unit.name for unit in UNITS} >= {"linkweather-collector.service", "linkweather-probe.service"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_has_limits_and_its_folder_is_its_user_s_alone(unit: Path) -> None:
    settings = dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE))
    assert settings.keys() >= LIMITS
    assert settings["UMask"] == "0077"
    assert ("StateDirectory" in settings) is (settings.get("StateDirectoryMode") == "0700")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_exposes_little(unit: Path) -> None:
    command = ("systemd-analyze", "security", "--offline=true", "--no-pager", str(unit))
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    if "Unknown option" in said.stderr or "unrecognized option" in said.stderr:
        pytest.skip("this systemd-analyze reads no files")
    found = re.search(r"exposure level for \S+: (\d+\.\d)", said.stdout)
    assert found, said.stdout + said.stderr
    assert float(found[1]) <= MOST_EXPOSURE
