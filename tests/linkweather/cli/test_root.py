"""The root command: a table of commands, each imported only when it is called."""

from __future__ import annotations

import importlib
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
        "Error: `linkweather gone` needs the package no_such_package: install linkweather[collector]\n",
    )


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
