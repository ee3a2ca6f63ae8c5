"""The root command: a table of commands, each imported only when it is called."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from linkweather.cli import root as cli
from linkweather.cli.root import COMMANDS, Command, main
from linkweather.errors import OperatorError


@click.command()
@click.option("--fail", is_flag=True)
def sample(*, fail: bool) -> None:
    if fail:
        raise OperatorError("file.toml: key = 1: no such key")
    click.echo("done")


@pytest.fixture(autouse=True)
def sample_command(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"sample": Command(f"{__name__}:sample", "A sample."), "gone": Command("no_such_package.x:y", "Gone.")}
    monkeypatch.setattr(cli, "COMMANDS", {**COMMANDS, **table})


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert all(f"  {name} " in result.output and entry.help[:30] in result.output for name, entry in COMMANDS.items())


def test_a_command_of_the_table_runs() -> None:
    result = CliRunner().invoke(main, ["sample"])
    assert (result.exit_code, result.output) == (0, "done\n")


def test_an_operator_s_mistake_is_one_sentence_and_status_2() -> None:
    result = CliRunner().invoke(main, ["sample", "--fail"])
    assert (result.exit_code, result.output) == (2, "Error: file.toml: key = 1: no such key\n")


def test_a_missing_package_says_what_to_install() -> None:
    result = CliRunner().invoke(main, ["gone"])
    assert (result.exit_code, result.output) == (
        2,
        (
            "Error: `linkweather gone` needs the package no_such_package, which is not installed: "
            "pip install 'linkweather[collector]'\n"
        ),
    )


def test_a_module_of_ours_that_is_gone_is_no_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "COMMANDS", {"lost": Command("linkweather.no_such_module:x", "Lost.")})
    result = CliRunner().invoke(main, ["lost"])
    assert isinstance(result.exception, ModuleNotFoundError)


ARROW = """
import click, rich
from linkweather.cli import root

@click.command()
def arrow():
    rich.print("a → b")

root.COMMANDS = {"arrow": root.Command("__main__:arrow", "An arrow.")}
root.main(["arrow"])
"""


def test_a_terminal_that_is_not_utf_8_shows_what_it_can() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ARROW],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "a ? b\n", "")


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["nonsense"])
    assert result.exit_code == 2
    assert "No such command 'nonsense'" in result.output


@pytest.mark.parametrize("name", ["collector", "links", "mesh"])
def test_the_table_s_targets_exist(name: str) -> None:
    module, _, attribute = COMMANDS[name].target.partition(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)


def test_help_imports_no_command() -> None:
    names = ("collector", "probes", "rich", "pydantic")
    code = f"import sys, linkweather.cli.root; print([name for name in {names} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
