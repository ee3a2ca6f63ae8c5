"""A user's program is checked against the package as it is installed from a wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import blocks
from tests.examples.systems import EXAMPLES
from tests.installing import install

PROGRAM = """
from typing import assert_type

from linkweather import AsyncClient, Client, Job, NoPathError
from linkweather.models.routes import RouteAnswer
from linkweather.models.placements import PlacementAnswer
from linkweather.models.state import SiteAnswer


def ask(client: Client, job: Job) -> str:
    assert_type(client.place(job), PlacementAnswer)
    try:
        return client.route("gz", "bj", objective="completion", bytes=10).why
    except NoPathError as reason:
        return str(reason)


async def wait(client: AsyncClient) -> None:
    assert_type(await client.route("gz", "bj"), RouteAnswer)
    assert_type(await client.sites(), list[SiteAnswer])
"""
WRONG = (
    PROGRAM
    + """
Client().route("gz", "bj", objective="speed")
Client().route("gz", "bj").pth
async_client = AsyncClient()
async_client.route("gz", "bj").path
"""
)


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has linkweather from its wheel, and what a plain install requires."""
    return install(wheel, tmp_path_factory.mktemp("typing") / "venv")


def check(python: Path, folder: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), *map(str, files)]
    more = ["--config-file=", "--cache-dir", str(python.parents[1] / "cache"), "--no-error-summary"]
    return subprocess.run([*command, *more], cwd=folder, capture_output=True, text=True, check=False)


def test_a_users_program_and_the_examples_are_typed_and_mistakes_are_found(python: Path, tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(PROGRAM)
    wrong.write_text(WRONG)
    shown = [block.text for block in blocks("python") if block.text.startswith("from linkweather import")]
    for number, text in enumerate(shown):
        (tmp_path / f"shown{number}.py").write_text(text)
    found = check(python, tmp_path, right, *sorted(tmp_path.glob("shown*.py")), *sorted(EXAMPLES.glob("*.py")))
    assert shown
    assert (found.returncode, found.stdout) == (0, "")
    found = check(python, tmp_path, wrong)
    errors = [line.rpartition("[")[2] for line in found.stdout.splitlines() if ": error: " in line]
    assert errors == ["arg-type]", "attr-defined]", "attr-defined]"]
