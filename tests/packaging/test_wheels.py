"""What is installed works without the checkout: the whole, a plain install, and the client alone."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

from linkweather.cli.root import COMMANDS
from tests import servers
from tests.installing import ROOT, build, install

SHIPPED = ("linkweather", "probes", "collector", "page", "config")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's wheel."""
    return build(tmp_path_factory.mktemp("client"), "packaging/client")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False, timeout=200)


def test_every_module_and_example_file_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        there = {name for name in content.namelist() if ".dist-info/" not in name}
    files = [path for top in SHIPPED for path in (ROOT / top).rglob("*") if path.is_file()]
    names = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert there == {f"linkweather/{name}" if name.startswith("config/") else name for name in names}


@pytest.mark.timeout(300)
def test_the_demo_runs_from_the_wheel_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    python = install(wheel, tmp_path / "venv", "collector")
    folder = tmp_path / "empty"
    folder.mkdir()
    command = [
        str(python.parent / "linkweather"),
        "demo",
        "--for",
        "15s",
        "--sites",
        "3",
        "--engine",
        "loopback",
        "--json",
    ]
    done = run(*command, "--port", str(servers.free_port()), cwd=folder)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert {link["state"] for link in json.loads(done.stdout)["mesh"]} == {"fresh"}
    where = run(python, "-c", "import collector, probes; print(collector.__file__, probes.__file__)", cwd=folder).stdout
    assert [Path(path).is_relative_to(tmp_path) for path in where.split()] == [True, True]


def test_a_plain_install_has_what_every_command_imports_but_those_beside_a_journal(wheel: Path, tmp_path: Path) -> None:
    python = install(wheel, tmp_path / "venv")
    failed = {
        name: done.stderr
        for name in COMMANDS
        if (done := run(python, "-m", "linkweather", name, "--help", cwd=tmp_path)).returncode
    }
    assert sorted(failed) == ["collector", "export", "import", "journal"]
    assert re.fullmatch(
        r"Error: `linkweather collector` needs the package \w+, which is not installed: "
        r"pip install 'linkweather\[collector\]'\n",
        failed["collector"],
    )


def test_the_client_alone_imports_with_what_it_requires_and_brings_one_package(client: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(client) as content:
        tops = {name.partition("/")[0] for name in content.namelist()}
    assert tops == {"linkweather", f"{client.name.removesuffix('-py3-none-any.whl')}.dist-info"}
    python = install(client, tmp_path / "venv")
    program = "from linkweather import AsyncClient, Client, Job, LinkweatherError; Client().close()"
    done = run(python, "-c", program, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_client_has_the_version_and_the_lower_bounds_of_the_whole(wheel: Path, client: Path) -> None:
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    part = tomllib.loads((ROOT / "packaging" / "client" / "pyproject.toml").read_text(encoding="utf-8"))
    assert client.name.partition("-")[2] == wheel.name.partition("-")[2]
    assert part["tool"]["setuptools_scm"] == {"root": "../..", **whole["tool"]["setuptools_scm"]}
    assert set(part["project"]["dependencies"]) <= set(whole["project"]["dependencies"])


def test_a_wheel_has_the_version_of_the_tag_and_no_module_that_the_tree_lost(tmp_path: Path) -> None:
    def tagged(tree: Path) -> None:
        left_over = tree / "build" / "lib" / "linkweather" / "deleted.py"
        left_over.parent.mkdir(parents=True)
        left_over.write_text("", encoding="utf-8")
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(tree)]
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "All."], ["tag", "v7.3.0"]):
            subprocess.run([*git, *command], check=True)

    wheel = build(tmp_path, prepare=tagged)
    with zipfile.ZipFile(wheel) as content:
        assert "linkweather/deleted.py" not in content.namelist()
        assert "linkweather/config/probe.toml" in content.namelist()
    assert wheel.name == "linkweather-7.3.0-py3-none-any.whl"


def test_the_workflow_runs_the_two_commands_on_every_python_of_the_classifiers() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert re.findall(r"- run: (.*)", text) == ["make test", 'make demo ARGS="--for 60s"']
    (matrix,) = re.findall(r"python: \[(.*)\]", text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    classified = re.findall(r":: (3\.\d+)", " ".join(project["classifiers"]))
    assert re.findall(r'"(.*?)"', matrix) == classified
    assert project["requires-python"] == f">={classified[0]}"


def test_the_hooks_are_what_make_check_runs() -> None:
    hooks = re.findall(r"entry: \.venv/bin/(.*)", (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (target,) = re.findall(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert hooks == re.findall(r"\$\(BIN\)/(.*)", target)
