"""Lines for people: all that a command or a log writes goes through here, cleaned of what a site may have put into it.

A room of its own because every command prints through it, also those that load no rich; ruff refuses `click.echo`
everywhere else.
"""

from __future__ import annotations

import logging

import click

from linkweather.plain_text import cleaned, one_line, redacted


def echo(text: str, *, err: bool = False) -> None:
    """Print text to standard output, or to standard error."""
    click.echo(cleaned(text), err=err)  # noqa: TID251 - the one place


class PlainFormatter(logging.Formatter):
    """Log lines without control characters and passwords: a record is one line, and its traceback those below."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line, without the traceback."""
        return one_line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The whole record."""
        return redacted(cleaned(super().format(record)))


def clean_last_resort() -> None:
    """Clean the warnings of a command that configures no log as well."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PlainFormatter())


def log_to_stderr(level: str, *, names: bool = True) -> None:
    """Send the log to standard error, from `level` on, with the names of loggers or without them."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter(f"%(asctime)s %(levelname)s {'%(name)s: ' if names else ''}%(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
