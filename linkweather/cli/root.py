"""The root command: a table of commands, each imported only when it is called."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from linkweather.cli.output import clean_last_resort, echo
from linkweather.errors import OperatorError, operator_error

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is (`module:attribute`), and its line in the help."""

    target: str
    help: str


# Names, not imports: `linkweather` must not import the packages above it, and `--help` stays quick.
COMMANDS: Mapping[str, Command] = {
    "demo": Command("linkweather.demo.demo_command:demo", "Run the whole system on this machine, in a lab."),
    "test": Command("probes.adhoc.adhoc_commands:test", "Measure one link now, ad hoc."),
    "reflector": Command("probes.adhoc.adhoc_commands:reflector", "Answer latency probes only."),
    "probe": Command("probes.probe_command:probe", "Run a site's probe daemon."),
    "collector": Command("collector.commands.collector_command:collector", "Run the collector."),
    "page": Command("page.page_command:page", "Serve the page that shows it all."),
    "links": Command("collector.commands.links_command:links", "Print the links and how they are now."),
    "sites": Command("collector.commands.sites_command:sites", "Show the sites, or all about one."),
    "history": Command("collector.commands.record_commands:history", "Show one link over time."),
    "sla": Command("collector.commands.record_commands:sla", "Say how available a link or a site was."),
    "route": Command("collector.commands.route_command:route", "Say which path data should take now."),
    "place": Command("collector.commands.place_command:place", "Say which site should run a job now."),
    "capacity": Command("collector.commands.capacity_command:capacity", "Report and show what a site has for jobs."),
    "judge": Command(
        "collector.commands.record_commands:judge", "Score past decisions by what was measured afterwards."
    ),
    "incidents": Command("collector.commands.incidents_command:incidents", "Show what is wrong, since when and why."),
    "notify": Command("collector.commands.notify_command:notify", "Try who is told of incidents."),
    "doctor": Command(
        "linkweather.cli.doctor_command:doctor", "Say what ails the sites, or this machine, and what to do."
    ),
    "ledger": Command("collector.commands.record_commands:ledger", "Show where every report went."),
    "archive": Command("collector.commands.archive_command:archive", "Show the sinks, and what they refused."),
    "journal": Command("collector.commands.journal_command:journal", "Check, copy, restore and compact the journal."),
    "export": Command("collector.commands.export_command:export_", "Write a span of the record as Parquet or CSV."),
    "import": Command("collector.commands.import_command:import_", "Take over what other programs measured."),
    "token": Command("collector.commands.token_command:token", "Make, list and revoke the API's tokens."),
    "mesh": Command("collector.commands.mesh_command:mesh", "Check, show and push the mesh."),
    "keys": Command("linkweather.cli.keys_command:keys", "Say who is who: certificates, and the mesh's key."),
    "init": Command("linkweather.installation.init_command:init", "Set this machine up as a collector or a site."),
    "enrol": Command("linkweather.installation.enrol_command:enrol", "Let sites into the mesh, each by one line."),
    "uninstall": Command("linkweather.installation.init_command:uninstall", "Take back what init made."),
    "lab": Command("linkweather.lab.lab_command:lab", "Change and enter a running lab."),
}


_OWN = frozenset({"linkweather", "probes", "collector", "page"})


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package in _OWN:
                raise  # a module of ours that is gone is our mistake
            raise OperatorError(
                f"`linkweather {cmd_name}` needs the package {package}, which is not installed: "
                "pip install 'linkweather[collector]'"
            ) from None
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        _show_what_cannot_be_written()
        clean_last_resort()
        try:
            return super().invoke(ctx)
        except OperatorError as error:
            mistake = error
        except BaseExceptionGroup as group:
            found = operator_error(group)
            if found is None:
                raise
            mistake = found
        echo(f"Error: {mistake}", err=True)
        return ctx.exit(EXIT_USAGE)


def _show_what_cannot_be_written() -> None:
    """A terminal that is not UTF-8 shows ? for →: better than a traceback in the middle of a table."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(errors="replace")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="linkweather")
def main() -> None:
    """Measure the links between compute sites, and decide where data and jobs should go.

    Exit status: 0 done, 1 measured but failed, 2 wrong usage or settings.
    """
