"""The commands of `linkweather` and their options, as click knows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from linkweather.cli.root import COMMANDS, main


def leaves() -> Iterator[tuple[str, ...]]:
    """The words of every command that runs something, such as `("mesh", "check")`."""
    for name in COMMANDS:
        found = command_at([name])
        inner = tuple(found.commands) if isinstance(found, click.Group) else ()
        yield from ((name, word) for word in inner)
        if not inner or _runs(found):
            yield (name,)


def _runs(command: click.Command) -> bool:
    """Whether a group does something without a word after it: then its options are its own."""
    return isinstance(command, click.Group) and command.invoke_without_command


def command_at(path: Sequence[str]) -> click.Command:
    """The command that these words name."""
    found: click.Command = main
    context = click.Context(main)
    for name in path:
        assert isinstance(found, click.Group), path
        inner = found.get_command(context, name)
        assert inner is not None, path
        found = inner
    return found


def options_of(path: Sequence[str]) -> set[str]:
    """Every option of that command, and of the groups that it is in."""
    groups = [command_at(path[:depth]) for depth in range(1, len(path))]
    commands = [*(group for group in groups if not _runs(group)), command_at(path)]
    parameters = [option for command in commands for option in command.params if isinstance(option, click.Option)]
    return {name for option in parameters for name in (*option.opts, *option.secondary_opts)}
