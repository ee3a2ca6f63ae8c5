"""`linkweather probe`: runs a site's daemon."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Any

import click

from linkweather import settings as files
from linkweather.cli.options import (
    SITE_NEEDED,
    broker_options,
    config_option,
    log_level_option,
    site_option,
    with_broker,
)
from linkweather.cli.output import log_to_stderr
from linkweather.errors import OperatorError
from probes.daemon import ProbeDaemon
from probes.settings import ProbeSettings
from probes.throughput.iperf3_output import Build
from probes.throughput.iperf3_program import installed, too_old

log = logging.getLogger(__name__)


@click.command()
@config_option("probe.toml")
@site_option
@broker_options()
@click.option("--data-dir", help="Where the outbox is kept.")
@click.option("--key-file", help="The mesh's key for authenticated tests: 64 hexadecimal digits.")
@click.option("--bind", multiple=True, help="A local address to measure from; at most one per family.")
@log_level_option
def probe(*, config: Path | None, log_level: str, **options: Any) -> None:
    """Run a site's probe daemon until SIGTERM or Ctrl-C."""
    log_to_stderr(log_level, names=False)
    settings = _settings(config, options)
    os.umask(0o077)  # every file of ours is for us alone, also the databases' own
    asyncio.run(_run(settings))


def _settings(config: Path | None, options: dict[str, Any]) -> ProbeSettings:
    values = files.values_of(files.read(config), str(config)) if config else {}
    values = with_broker(values, options)
    values |= {
        name: list(value) if name == "bind" else value for name, value in options.items() if value not in {None, ()}
    }
    if not config and "site" not in values:
        raise OperatorError(SITE_NEEDED)
    return files.validate(values, ProbeSettings, str(config) if config else "options")


async def _run(settings: ProbeSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # until there is a daemon: its default would kill
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    build, problem = await usable_iperf3()
    if problem:
        log.warning("%s; this site measures no throughput", problem)
    daemon = ProbeDaemon(settings, iperf3=build, throughput_problem=problem)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    await daemon.run(stop)


async def usable_iperf3() -> tuple[Build | None, str | None]:
    """The installed iperf3, or why there is none that can be used: then the site measures no throughput."""
    try:
        build = await installed()
    except OperatorError as error:
        return None, str(error)
    problem = too_old(build) if build else "the installed iperf3 does not name its version: install another one"
    return (None, problem) if problem else (build, None)
