"""What a site says reaches a terminal as text: no markup, no control characters, whatever command prints it."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from linkweather.cli.output import PlainFormatter
from linkweather.cli.root import main
from linkweather.cli.tables import capacity_table
from linkweather.cli.terminal import Terminal
from linkweather.errors import OperatorError
from linkweather.models.state import CapacityAnswer
from linkweather.plain_text import cleaned, one_line, redacted
from tests.linkweather.cli.hostile_answers import HOSTILE, hostile, hostile_collector

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
REASON = ("--reason", "r", "--until", "1h")
_WARN = """
import contextlib, logging
from linkweather.cli.root import main

with contextlib.suppress(SystemExit):
    main(["mesh", "check", "nowhere.toml"])
logging.getLogger("x").warning("\\x1b[2J")
"""
COMMANDS = (
    ("links",),
    ("links", "--grid"),
    ("sites",),
    ("sites", "a"),
    ("history", "a", "b"),
    ("sla", "a"),
    ("route", "a", "b"),
    ("route",),
    ("place", "--data", "a:1GB", "--devices", "gpu:1", "--work", "1"),
    ("capacity", "show"),
    ("judge",),
    ("incidents",),
    ("incidents", "silences"),
    ("incidents", "silence", "--site", "a", *REASON),
    ("incidents", "ack", "i", *REASON),
    ("ledger",),
    ("archive", "list"),
    ("archive", "list", "s"),
    ("mesh", "show"),
    ("doctor",),
)


@pytest.fixture(scope="module")
def collector() -> Iterator[str]:
    with hostile_collector() as api:
        yield api


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_prints_hostile_text_as_text(command: tuple[str, ...], collector: str) -> None:
    result = CliRunner().invoke(main, [*command, "--api", collector])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    assert "Error" not in result.output
    assert not CONTROL.search(result.output)
    assert "[/" in result.output or command in {("history", "a", "b"), ("judge",), ("route",)}  # these print figures


def test_a_terminal_gets_no_control_code_but_rich_s_colours() -> None:
    shown = io.StringIO()
    Terminal(file=shown, force_terminal=True, width=200).print(capacity_table([hostile(CapacityAnswer)]), HOSTILE)
    assert "[/bold][red]:bomb:" in shown.getvalue()
    assert not CONTROL.search(COLOURS.sub("", shown.getvalue()))
    assert "\x1b[31m" not in shown.getvalue()


def test_a_log_line_is_one_line_without_control_characters_and_passwords() -> None:
    record = logging.LogRecord("n", logging.ERROR, "f", 1, "%s\nfaked line", ("\x1b]0;x\x07",), None)
    error = OperatorError("mqtt://north:pass/word@192.0.2.1\x1b[2J\nsecond")
    record.exc_info = (OperatorError, error, None)
    first, *trace = PlainFormatter("%(levelname)s %(message)s").format(record).split("\n")
    assert first == "ERROR  ]0;x  faked line"
    assert trace[-2:] == ["linkweather.errors.OperatorError: mqtt://north:***@192.0.2.1 [2J", "second"]


def test_a_warning_of_a_command_without_a_log_is_cleaned_as_well() -> None:
    said = subprocess.run([sys.executable, "-c", _WARN], check=False, capture_output=True, text=True)
    assert said.stderr.splitlines() == ["Error: nowhere.toml: cannot be read: No such file or directory", " [2J"]


def test_text_keeps_lines_and_tabs_or_becomes_one_line() -> None:
    assert cleaned("a\tb\nc\x1bd\ud800") == "a\tb\nc d "
    assert one_line("a\tb\nc") == "a b c"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mqtt://u:p@h", "mqtt://u:***@h"),
        ("mqtts://u:p@ss/w:rd@h:8883 is away", "mqtts://u:***@h:8883 is away"),
        ("mqtt://u@h", "mqtt://u@h"),
        ("http://h:8086/a@b", "http://h:***@b"),  # rather too much than too little
        ("['mqtt://:p@h', 'x@y']", "['mqtt://:***@h', 'x@y']"),
        ("mqtt://[user[:password]@]host", "mqtt://[user[:password]@]host"),
        ("no URL: a@b", "no URL: a@b"),
    ],
)
def test_the_password_of_a_url_is_not_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown
